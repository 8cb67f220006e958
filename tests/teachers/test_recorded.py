"""The recorded teacher: our own format, published rationales, and the real files of the shared data folder."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from cotdistill.contracts import Teacher
from cotdistill.errors import DataError, PluginError, QuestionFailed
from cotdistill.model.client import Asker
from cotdistill.model.completion_log import CompletionLog
from cotdistill.plugins import build
from cotdistill.prompting.parts import question_block
from cotdistill.records import Completion, Message, Question, Request
from cotdistill.teachers.recorded import Recorded
from cotdistill.teachers.scripted import Scripted

SHARED = (
    Path(os.environ.get("COTDISTILL_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "teachers"
)
needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no shared data at {SHARED}")

ONE_REPLY = {
    "instruction": "Ana has 3 apples and  finds 8.\nHow many?",
    "output": "3 + 8 = 11. The answer is 11",
}
TWO_CALLS = {
    "question": "Is the coin heads up?",
    "completion": "Let's think step by step. \n\nBo flips it.\nSo it is tails up.\nTherefore, the answer (Yes or No) is No.",
    "answer_completion": " No.",
}
OPTIONS = {
    "instruction": "Q: The moon is made of Answer choices: A: rain, B: warmth",
    "output": " It is hot. The answer is B: warmth",
}
SEVERAL = {
    "instruction": "Ana has 3 apples and finds 8. How many?\n",
    "output": ["3 + 8 = 11.", "8 and 3 give 11."],
}


def ask(files: Path | list[Path], prompt: str, samples: int = 1, prefill: str = "") -> list[str]:
    teacher = build("teachers", {"name": "recorded", "files": files}, Teacher)
    request = Request(prompt, prefill=prefill)
    return [
        completion.text
        for completion in asyncio.run(teacher.open().complete(request, range(samples)))
    ]


def file(folder: Path, *rows: object, name: str = "r.jsonl") -> Path:
    path = folder / name
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in rows) if name.endswith("l") else json.dumps(rows)
    )
    return path


def cot(question: str) -> str:
    return f"Q: {question}\nA: Let's think step by step."


@pytest.mark.parametrize("name", ["r.jsonl", "r.json"])
def test_one_reply_is_cut_to_what_the_prompt_asks_for(tmp_path: Path, name: str) -> None:
    path = file(tmp_path, TWO_CALLS, ONE_REPLY, name=name)
    question = "Ana has 3 apples and finds 8. How many?"
    assert ask(path, cot(question)) == [" 3 + 8 = 11."]
    assert ask(path, cot(question) + " 3 + 8 = 11.\nTherefore, the answer is") == [" 11"]
    assert ask(path, f"Q: {question}\nA:") == [" 3 + 8 = 11. The answer is 11."]
    assert ask(path, f"Q: {question}\nA: The answer is") == [" 11"]


def test_two_calls(tmp_path: Path) -> None:
    path = file(tmp_path, TWO_CALLS, ONE_REPLY)
    (rationale,) = ask(path, cot("Is the coin heads up?"))
    assert rationale == " \n\nBo flips it.\nSo it is tails up."
    second = cot("Is the coin heads up?") + rationale + "\nTherefore, the answer is"
    assert ask(path, second) == [" No."]


def test_options_match_however_they_are_written(tmp_path: Path) -> None:
    block = question_block(Question("q", "The moon is made of", options=("rain", "warmth")))
    assert ask(file(tmp_path, OPTIONS), cot(block)) == [" It is hot."]


def test_samples_come_from_lists_and_from_several_files(tmp_path: Path) -> None:
    files = [file(tmp_path, ONE_REPLY, name="a.jsonl"), file(tmp_path, SEVERAL, name="b.json")]
    question = "Ana has 3 apples and finds 8. How many?"
    assert ask(files, cot(question), samples=3) == [
        " 3 + 8 = 11.",
        " 3 + 8 = 11.",
        " 8 and 3 give 11.",
    ]
    assert len(ask(files, cot(question), samples=8)) == 3
    assert ask(files, cot(question) + " 8 and 3 give 11.\nTherefore, the answer is") == [
        " 8 and 3 give 11."
    ]


def test_the_last_question_of_a_few_shot_prompt_counts(tmp_path: Path) -> None:
    path = file(tmp_path, TWO_CALLS, ONE_REPLY)
    prompt = "Q: Is the coin heads up?\nA: Bo flips it. The answer is no.\n\nQ: Ana has 3 apples and finds 8. How many?\nA:"
    assert ask(path, prompt) == [" 3 + 8 = 11. The answer is 11."]


@pytest.mark.parametrize(
    ("prompt", "prefill"),
    [
        (cot("Is the moon up?"), ""),
        (
            "Q: Is the coin heads up?\nBreak the question into sub-questions and solve each one.\n",
            "",
        ),
        (cot("Is the coin heads up?"), " Another start"),
    ],
)
def test_what_is_not_recorded_fails_with_that_reason(
    tmp_path: Path, prompt: str, prefill: str
) -> None:
    with pytest.raises(QuestionFailed) as caught:
        ask(file(tmp_path, TWO_CALLS), prompt, prefill=prefill)
    assert caught.value.reason == "not recorded"


def test_an_exported_log_answers_exactly_what_it_was_asked(tmp_path: Path) -> None:
    chat = (Message("user", "And you?"),)

    async def record() -> None:
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with Asker({"teacher": Scripted(replies=("a", "b")).open()}, log) as ask:
                await ask("Q: one", samples=2, temperature=0.7)
                await ask(chat)
            (tmp_path / "log.jsonl").write_text(
                "".join(json.dumps(e.to_json()) + "\n" for e in log.entries())
            )

    async def replay() -> None:
        model = Recorded(files=(tmp_path / "log.jsonl",)).open()
        completions = await model.complete(Request("Q: one", temperature=0.7), [1, 0, 5])
        assert completions == [
            Completion("b", 1, prompt_tokens=2, completion_tokens=1),
            Completion("a", 0, prompt_tokens=2, completion_tokens=1),
        ]
        assert (await model.complete(Request(chat), [0]))[0].text == "a"
        with pytest.raises(QuestionFailed):
            await model.complete(Request("Q: one", temperature=0.8), [0])

    asyncio.run(record())
    asyncio.run(replay())


def test_the_identity_is_the_content_of_the_files(tmp_path: Path) -> None:
    first, same = (
        file(tmp_path, ONE_REPLY, name="a.jsonl"),
        file(tmp_path, ONE_REPLY, name="b.jsonl"),
    )
    other = file(tmp_path, TWO_CALLS, name="c.jsonl")
    identities = [Recorded(files=(path,)).open().identity() for path in (first, same, other)]
    assert identities[0] == identities[1] != identities[2]


def test_bad_files_are_named_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*nowhere.jsonl; correct `files`"):
        ask(tmp_path / "nowhere.jsonl", "Q")
    with pytest.raises(PluginError, match="files"):
        build("teachers", "recorded", Teacher)
    torn = tmp_path / "torn.jsonl"
    torn.write_text(json.dumps(ONE_REPLY) + '\n{"question": ')
    with pytest.raises(DataError, match=r"torn.jsonl:2: no JSON"):
        ask(torn, "Q")
    with pytest.raises(DataError, match=r"needs `question` and `completion`.*; it has a, b"):
        ask(file(tmp_path, {"a": 1, "b": 2}), "Q")
    with pytest.raises(DataError, match="item 2: not an object"):
        ask(file(tmp_path, ONE_REPLY, 7, name="r.json"), "Q")
    (tmp_path / "broken.json").write_text("[1, ")
    with pytest.raises(DataError, match=r"broken.json: no JSON"):
        ask(tmp_path / "broken.json", "Q")


@needs_shared_data
@pytest.mark.parametrize(
    "path", sorted(SHARED.glob("text-davinci-002/*.jsonl")), ids=lambda path: path.stem
)
def test_every_real_reply_of_two_calls_is_found_again(path: Path) -> None:
    rows = [json.loads(line) for line in path.read_bytes().splitlines()[:150]]
    model = Recorded(files=(path,)).open()

    async def check() -> None:
        for row in rows:
            (first,) = await model.complete(Request(cot(row["question"])), [0])
            body = row["completion"].removeprefix("Let's think step by step.")
            assert body.startswith(first.text)
            assert "answer (" not in first.text[-40:]
            (second,) = await model.complete(
                Request(cot(row["question"]) + f"{first.text}\nTherefore, the answer is"), [0]
            )
            assert second.text == row["answer_completion"]

    asyncio.run(check())


@needs_shared_data
@pytest.mark.parametrize("path", sorted(SHARED.glob("*/*.json")), ids=lambda path: path.stem)
def test_every_real_single_reply_is_found_again(path: Path) -> None:
    rows = json.loads(path.read_bytes())[:150]
    model = Recorded(files=(path,)).open()

    async def check() -> int:
        split = 0
        for row in rows:
            samples = len(row["output"]) if isinstance(row["output"], list) else 1
            firsts = await model.complete(Request(cot(row["instruction"])), range(samples))
            assert len(firsts) == samples
            second = cot(row["instruction"]) + f"{firsts[0].text}\nTherefore, the answer is"
            (answer,) = await model.complete(Request(second), [0])
            assert answer.text.strip()
            split += len(firsts[0].text) < len(row["output"])
        return split

    split = asyncio.run(check())
    assert "mcc-kd" in str(path) or split > 0.9 * len(rows)
