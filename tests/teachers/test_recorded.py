"""The recorded teacher: our own format, published rationales, and the real files of the shared data
folder."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
from pathlib import Path

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import Method, Task, Teacher
from cotdistill.errors import DataError, PluginError, QuestionFailed
from cotdistill.evaluation.interchange import as_rationale, read_completions
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.plugins import build
from cotdistill.records import Completion, Message, Question, Rationale, Request
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
    "completion": (
        "Let's think step by step. \n\nBo flips it.\nSo it is tails up.\n"
        "Therefore, the answer (Yes or No) is No."
    ),
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
def test_a_reply_goes_on_where_the_prompt_leaves_off(tmp_path: Path, name: str) -> None:
    path = file(tmp_path, TWO_CALLS, ONE_REPLY, name=name)
    question = "Ana has 3 apples and finds 8. How many?"
    assert ask(path, cot(question)) == [" 3 + 8 = 11. The answer is 11."]
    assert ask(path, cot(question) + " 3 + 8 = 11.\nTherefore, the answer is") == [" 11"]
    assert ask(path, f"Q: {question}\nA:") == [" 3 + 8 = 11. The answer is 11."]


def test_two_calls(tmp_path: Path) -> None:
    path = file(tmp_path, TWO_CALLS, ONE_REPLY)
    (rationale,) = ask(path, cot("Is the coin heads up?"))
    assert rationale == " Bo flips it.\nSo it is tails up.\nThe answer is No."
    second = cot("Is the coin heads up?") + rationale + "\nTherefore, the answer is"
    assert ask(path, second) == [" No."]


def test_options_match_however_they_are_written(tmp_path: Path) -> None:
    block = Question("q", "The moon is made of", options=("rain", "warmth")).block
    assert ask(file(tmp_path, OPTIONS), cot(block)) == [" It is hot. The answer is B: warmth."]


def test_samples_come_from_lists_and_from_several_files(tmp_path: Path) -> None:
    files = [file(tmp_path, ONE_REPLY, name="a.jsonl"), file(tmp_path, SEVERAL, name="b.json")]
    question = "Ana has 3 apples and finds 8. How many?"
    assert ask(files, cot(question), samples=3) == [
        " 3 + 8 = 11. The answer is 11.",
        " 3 + 8 = 11.",
        " 8 and 3 give 11.",
    ]
    assert len(ask(files, cot(question), samples=8)) == 3
    assert ask(files, cot(question) + " 8 and 3 give 11.\nTherefore, the answer is") == [
        " 8 and 3 give 11."
    ]


def test_the_last_question_of_a_few_shot_prompt_counts(tmp_path: Path) -> None:
    path = file(tmp_path, TWO_CALLS, ONE_REPLY)
    prompt = (
        "Q: Is the coin heads up?\nA: Bo flips it. The answer is no.\n\n"
        "Q: Ana has 3 apples and finds 8. How many?\nA:"
    )
    assert ask(path, prompt) == [" 3 + 8 = 11. The answer is 11."]


@pytest.mark.parametrize(
    ("prompt", "prefill"),
    [
        (cot("Is the moon up?"), ""),
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
            async with ModelClient({"teacher": Scripted(replies=("a", "b")).open()}, log) as ask:
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
    with pytest.raises(DataError, match=r"torn.jsonl:2: malformed JSON at column 14"):
        ask(torn, "Q")
    with pytest.raises(DataError, match=r"r.jsonl:1: no field of completion.*; it has a, b"):
        ask(file(tmp_path, {"a": 1, "b": 2}), "Q")
    with pytest.raises(DataError, match=r"r.jsonl:1: no field of question.*set `questions` to"):
        ask(file(tmp_path, {"id": 1, "completion": "x"}), "Q")
    with pytest.raises(DataError, match="item 1: a row must be an object"):
        ask(file(tmp_path, ONE_REPLY, 7, name="r.json"), "Q")
    (tmp_path / "broken.json").write_text("[1, ")
    with pytest.raises(DataError, match=r"broken.json:1: malformed JSON"):
        ask(tmp_path / "broken.json", "Q")


def test_a_guide_gets_the_next_sentence_of_a_recorded_solution(tmp_path: Path) -> None:
    row = {
        "question": "How many pens?",
        "completion": "Ana has 3 pens at first. She buys 8 more. So 11.",
    }
    path = file(tmp_path, row)
    prompt = "Q: How many pens?\nSteps so far: {}\nNext step:"
    assert ask(path, prompt.format("none")) == [" Ana has 3 pens at first. She buys 8 more. So 11."]
    assert ask(path, prompt.format("Ana has 3 pens at first.")) == [" She buys 8 more. So 11."]


def test_questions_are_joined_by_id_and_decompositions_become_steps(tmp_path: Path) -> None:
    said = (
        "Q1. How many has she?\nShe has 3.\nFinal Answer: How many then?\n"
        "3 + 8 = 11. The answer is 11."
    )
    path = file(tmp_path, {"id": 7, "answer": "[invalid]", "completion": said})
    questions = file(tmp_path, {"id": 7, "question": "How many pens has Ana?"}, name="q.jsonl")
    teacher = Recorded(files=(path,), questions=questions)
    request = Request("Q: How many pens has Ana?\nBreak the question into sub-questions.")
    (reply,) = asyncio.run(teacher.open().complete(request, [0]))
    steps = "How many has she? ** She has 3.\nHow many then? ** 3 + 8 = 11."
    assert reply.text == f" {steps}\nThe answer is 11."
    assert teacher.open().identity() != Recorded(files=(path,)).open().identity()


@pytest.mark.parametrize(
    "row",
    [
        {
            "input": "How many pens has Ana?\n",
            "chain": "3 and 8.",
            "answer": "11",
            "initial_correct": True,
        },
        {
            "instruction": "How many pens",
            "input": "has Ana?",
            "output": "3 and 8. The answer is 11",
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "How many pens has Ana?"}]},
                {"role": "assistant", "content": "3 and 8.\n#### 11<|im_end|>"},
            ]
        },
        {
            "conversations": [
                {"from": "human", "value": "How many pens has Ana?"},
                {"from": "gpt", "value": "3 and 8.</think>\n\n11"},
            ]
        },
        {
            "doc": {"question": "How many pens has Ana?"},
            "resps": [["3 and 8. The answer is 11"]],
            "target": "11",
        },
        {
            "input": "How many pens has Ana?",
            "target": "11",
            "output": {
                "choices": [
                    {"message": {"role": "assistant", "content": "3 and 8. The answer is 11"}}
                ]
            },
        },
        {
            "request": {"messages": [{"role": "user", "content": "How many pens has Ana?"}]},
            "response": {"choices": [{"text": "3 and 8. The answer is 11"}]},
        },
        {"question": "How many pens has Ana?", "reasoning": "3 and 8.", "answer": 11},
        {"question": "How many pens has Ana?", "rationale": "3 and 8.", "answer": "11"},
        {"prompt": "How many pens has Ana?", "thinking": "3 and 8.", "response": "11"},
        {
            "question": "How many pens has Ana?",
            "response": {
                "choices": [{"message": {"reasoning_content": "3 and 8.", "content": "11"}}]
            },
        },
        {
            "question": "How many pens has Ana?",
            "response": {
                "content": [
                    {"type": "thinking", "thinking": "3 and 8."},
                    {"type": "text", "text": "The answer is 11."},
                ]
            },
        },
        {
            "question": "How many pens has Ana?",
            "output": [
                {"type": "reasoning", "summary": []},
                {
                    "type": "message",
                    "content": [{"type": "output_text", "text": "3 and 8. The answer is 11"}],
                },
            ],
        },
        {
            "conversations": [
                {"from": "user", "value": "How many pens has Ana?"},
                {
                    "from": "assistant",
                    "value": "<|begin_of_thought|>\n3 and 8.\n<|end_of_thought|>\n\n"
                    "<|begin_of_solution|>\n11\n<|end_of_solution|>",
                },
            ]
        },
    ],
)
def test_every_form_of_row_is_one_reply(tmp_path: Path, row: object) -> None:
    expected = [" 3 and 8. The answer is 11."]
    assert ask(file(tmp_path, row), cot("How many pens has Ana?")) == expected


def test_all_generations_of_a_row_are_samples_with_how_they_ended(tmp_path: Path) -> None:
    whole, cut = "<think>3 and 8.</think>11", "<think>3 and no more"
    row = {
        "problem": "How many pens has Ana?",
        "messages": [
            {"role": "user", "content": "How many pens has Ana?"},
            {"role": "assistant", "content": whole},
        ],
        "generations": [whole, cut],
        "finish_reasons": ["stop", "length"],
    }
    teacher = Recorded(files=(file(tmp_path, row),)).open()
    made = asyncio.run(teacher.complete(Request(cot("How many pens has Ana?")), [0, 1]))
    assert [(one.text, one.finish_reason) for one in made] == [
        (" 3 and 8. The answer is 11.", "stop"),
        (" ", "length"),
    ]


def test_a_batch_is_joined_by_its_own_ids(tmp_path: Path) -> None:
    asked = {"messages": [{"role": "user", "content": "How many pens has Ana?"}]}
    sent = file(tmp_path, {"custom_id": "q-1", "method": "POST", "body": asked}, name="in.jsonl")
    said = {"choices": [{"message": {"content": "3 and 8. The answer is 11"}}]}
    row = {"id": "batch_1", "custom_id": "q-1", "response": {"status_code": 200, "body": said}}
    teacher = Recorded(files=(file(tmp_path, row),), questions=sent).open()
    (reply,) = asyncio.run(teacher.complete(Request(cot("How many pens has Ana?")), [0]))
    assert reply.text == " 3 and 8. The answer is 11."
    failed = row | {"response": {"status_code": 429, "body": {"error": {"message": "limit"}}}}
    with pytest.raises(DataError, match=r":1: an error in place of a reply; ask again"):
        ask(file(tmp_path, failed), "")
    sent.write_text(sent.read_text() + sent.read_text().replace("Ana", "Ben"))
    with pytest.raises(DataError, match=r"in.jsonl:2: the id 'q-1' stands for another question"):
        asyncio.run(Recorded(files=(sent,), questions=sent).open().complete(Request("?"), [0]))


def test_questions_that_differ_in_their_options_alone_are_told_apart(tmp_path: Path) -> None:
    rows = [
        {"question": f"Which of these is a fruit? Options: (A) {one} (B) stone", "completion": one}
        for one in ("plum", "pear")
    ]
    path = file(tmp_path, *rows)
    block = "Which of these is a fruit?\nContext: N/A\nOptions: (A) {} (B) stone"
    with pytest.raises(QuestionFailed):
        ask(path, cot(block.format("pear")))
    assert ask(path, cot(block.format("pear").replace("Context: N/A\n", ""))) == [" pear"]
    assert ask(file(tmp_path, rows[0]), cot(block.format("plum"))) == [" plum"]


def annotated(method: Method, task: Task, count: int, **recorded: object) -> list[Rationale]:
    """The rationales of the first training questions, as a run draws them."""

    async def draw() -> list[Rationale]:
        teacher = build("teachers", {"name": "recorded", **recorded}, Teacher)
        async with ModelClient({"teacher": teacher.open()}) as ask:
            questions = itertools.islice(task.questions("train"), count)
            made = []
            for question in questions:
                with contextlib.suppress(QuestionFailed):
                    drawn = await method.annotate(question, ask, task.answer_type)
                    made += [
                        one for one in drawn if task.answer_type.same(one.answer, question.answer)
                    ]
            return made

    return asyncio.run(draw())


@needs_shared_data
@pytest.mark.parametrize(
    ("name", "file", "samples", "right"),
    [
        # Right rationales of the first 60 training questions, as measured.
        ("coin_flip_benchmark", "text-davinci-002/coin_flip.jsonl", 1, 53),
        ("last_letter_concatenation", "text-davinci-002/last_letters.jsonl", 1, 40),
        ("last_letter_concatenation", "mentor-kd/last_letter_concatenation_3_train.json", 3, 177),
        ("last_letter_concatenation", "mentor-kd/last_letter_concatenation_6_samples.json", 6, 336),
        ("date_understanding", "mentor-kd/date_understanding_3_train.json", 3, 180),
        ("date_understanding", "mentor-kd/date_understanding_6_samples.json", 6, 353),
        ("tracking_shuffled_objects", "mentor-kd/tracking_shuffled_objects_3_train.json", 3, 180),
        ("tracking_shuffled_objects", "mentor-kd/tracking_shuffled_objects_6_samples.json", 6, 359),
        ("svamp", "mentor-kd/svamp_3_train.json", 3, 129),
        ("svamp", "mcc-kd/svamp_train_10_rationales.json", 10, 283),
        ("svamp", "eit-nlp/SVAMP_llama_level1_ranked.json", 1, 44),
        ("strategy_qa", "mentor-kd/strategy_qa_3_train.json", 3, 174),
        ("strategy_qa", "eit-nlp/stqa_llama_level6_ranked.json", 1, 49),
        ("gsm8k", "eit-nlp/gsm8k_gemini_level2_ranked.json", 1, 58),
    ],
)
def test_real_recordings_of_a_task(name: str, file: str, samples: int, right: int) -> None:
    task = build("tasks", {"name": name, "data_dir": str(SHARED.parent)}, Task)
    made = annotated(FineTuneCot(samples=samples), task, 60, files=[SHARED / file])
    assert len(made) == right
    # A few replies of one file say it twice.
    assert sum("The answer is" in one.text for one in made) <= 0.02 * len(made) + 1


@needs_shared_data
@pytest.mark.parametrize(
    ("name", "file", "right"),
    [
        ("svamp", "SVAMP", 57),
        ("multiarith", "MultiArith", 59),
        ("strategy_qa", "StrategyQA", 39),
        ("asdiv", "ASDiv", 58),
    ],
)
def test_real_decompositions_have_steps(name: str, file: str, right: int) -> None:
    questions = SHARED.parent / "benchmarks" / "faithful-cot" / f"{file}.jsonl"
    files = [SHARED / "faithful-cot" / f"{file}.gpt4_LtM.jsonl"]
    settings = {"subset": "all"} if name == "asdiv" else {}
    data = {"name": name, "data_dir": str(SHARED.parent), **settings}
    task = build("tasks", data, Task)
    made = annotated(SocraticCot(), task, 60, files=files, questions=questions)
    assert len(made) == right
    assert all(len(one.steps) >= 1 for one in made)
    assert sum(len(one.steps) for one in made) > 2 * len(made)


def ended(word: str, text: str = "It is 5 apples. The answer is 5.") -> dict[str, object]:
    return {
        "question": "How many apples does Ana have?",
        "response": {"choices": [{"message": {"content": text}, "finish_reason": word}]},
    }


def said(words: str, **fields: object) -> dict[str, object]:
    return {"role": "assistant", "content": words, **fields}


ENDS = [
    (ended("stop"), "stop"),
    (ended("END_TURN"), "stop"),
    (ended("length"), "length"),
    (ended("MAX_TOKENS"), "length"),
    (ended("max_output_tokens"), "length"),
    (ended("error"), "length"),
    (ended("content_filter"), "content_filter"),
    (ended("SAFETY"), "content_filter"),
    ({"question": "How many?", "completion": "It is", "stop_reason": "max_tokens"}, "length"),
    ({"question": "How many?", "completion": "It is", "done_reason": "length"}, "length"),
    (
        {
            "question": "How many?",
            "response": {"content": [{"type": "text", "text": "It"}], "stop_reason": "max_tokens"},
        },
        "length",
    ),
    (
        {
            "question": "How many?",
            "response": {
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "It"}]}],
                "incomplete_details": {"reason": "max_output_tokens"},
            },
        },
        "length",
    ),
    (
        {"messages": [{"role": "user", "content": "How many?"}, said("It")], "stop_reason": "eos"},
        "stop",
    ),
    (
        {
            "messages": [{"role": "user", "content": "How many?"}, said("It is")],
            "finish_reason": "length",
        },
        "length",
    ),
    (
        {"messages": [{"role": "user", "content": "How many?"}, said("", refusal="No.")]},
        "content_filter",
    ),
]


@pytest.mark.parametrize(("row", "end"), ENDS)
def test_how_a_recorded_reply_ended_is_judged_as_that_of_an_endpoint(
    tmp_path: Path, row: dict[str, object], end: str
) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text(json.dumps(row))
    (one,) = read_completions(file)
    assert one.reply.finish_reason == end
    rationale = as_rationale(one, Number(), {}, "pens")
    assert rationale.extra.get("truncated", False) == (end == "length")
    assert end != "content_filter" or rationale.answer is None
    model = Recorded(files=(file,)).open()
    (made,) = asyncio.run(model.complete(Request(one.question), [0]))
    assert made.finish_reason == end


def test_a_chat_s_reply_belongs_to_the_question_before_it(tmp_path: Path) -> None:
    first, more = ({"role": "user", "content": text} for text in ("How many pens?", "And cups?"))
    call = said("I look it up.", tool_calls=[{"function": {"name": "look"}}])
    chats = [
        [first, said("5 pens. The answer is 5."), more],
        [first, call, {"role": "tool", "content": "5"}, said("5 pens. The answer is 5.")],
    ]
    file = tmp_path / "chats.jsonl"
    file.write_text("\n".join(json.dumps({"messages": chat}) for chat in chats))
    for one in read_completions(file):
        assert (one.question, one.reply.rationale) == ("How many pens?", "5 pens.")


def test_the_call_of_a_tool_is_no_reply(tmp_path: Path) -> None:
    question, call = {"role": "user", "content": "How many?"}, said("I call it.", tool_calls=[{}])
    for chat in ([question, call], [question, call, {"role": "tool", "content": "5"}]):
        file = tmp_path / "chats.jsonl"
        file.write_text(json.dumps({"messages": chat}))
        with pytest.raises(DataError, match="needs a user's question and an assistant's reply"):
            list(read_completions(file))


def test_an_answer_without_choices_is_no_reply(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text(json.dumps({"question": "How many?", "response": {"choices": []}}))
    with pytest.raises(DataError, match="`choices` is empty"):
        list(read_completions(file))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the value of 5 + 3 now?", "What is the value of 5 - 3 now?"),
        ("What is the square of -3.5 now?", "What is the square of 3,5 now?"),
        ("Solve x = 3 / 4 for x at once.", "Solve x = 3 * 4 for x at once."),
    ],
)
def test_questions_of_the_same_words_and_other_signs_are_two(
    tmp_path: Path, one: str, other: str
) -> None:
    file = tmp_path / "replies.jsonl"
    rows = [{"question": one, "completion": "It is 1."}, {"question": other, "completion": "No."}]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert ask(file, one, samples=2) == [" It is 1."]
    assert ask(file, other, samples=2) == [" No."]


def test_a_question_is_found_however_its_accents_are_written(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text(json.dumps({"question": "Was kostet ein Cafe\u0301 hier?", "completion": "5."}))
    assert ask(file, "Was kostet ein Caf\u00e9 hier?") == [" 5."]
