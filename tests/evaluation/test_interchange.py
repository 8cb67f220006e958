import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.errors import DataError
from cotdistill.evaluation.grid import Scored
from cotdistill.evaluation.interchange import (
    as_rationale,
    as_recording,
    inspect_log,
    question_ids,
    read_completions,
)
from cotdistill.records import Answer, Question, Verdict


def archive(folder: Path) -> Path:
    """An archive as the authors' repository describes it: two samples of one question, and one in a
    single call."""
    home = folder / "B_text-davinci-002__C_zs_cot_t70"
    home.mkdir(parents=True)
    two_calls = {
        "sample_index": 3,
        "question": "Ana has 3 pens and buys 8. How many?",
        "answer": "11",
        "prompt": "Q: ... A: Let's think step by step. ... Therefore, the answer is",
        "completion": " 11.",
        "finish_reason": "stop",
        "reasoning_prompt": "Q: ... A: Let's think step by step.",
        "reasoning_completion": " Ana has 3 + 8 = 11 pens.",
        "reasoning_finish_reason": "stop",
    }
    data = {
        "metadata": {
            "dataset_key": "multiarith",
            "base_model": "text-davinci-002",
            "prediction_template": "zs_cot",
        },
        "data": {
            "3": [
                two_calls | {"completion_index": 0},
                two_calls | {"completion_index": 1, "completion": " 12."},
            ],
            "7": [
                {
                    "sample_index": 7,
                    "completion_index": 0,
                    "question": "1+1?",
                    "answer": "2",
                    "completion": " It is two. --> 2",
                }
            ],
        },
    }
    path = home / "D_multiarith.json"
    path.write_text(json.dumps(data))
    return path


def test_archives_of_ho_et_al(tmp_path: Path) -> None:
    first, second, single = read_completions(archive(tmp_path))
    assert (first.index, first.sample_index, first.gold, first.model) == (
        "3",
        0,
        "11",
        "text-davinci-002",
    )
    assert (
        first.reply.rationale == "Ana has 3 + 8 = 11 pens." and first.reply.answer.strip() == "11."
    )
    assert (second.sample_index, second.reply.answer.strip()) == (1, "12.")
    assert (single.reply.rationale, single.reply.answer.strip()) == ("It is two.", "2")
    assert len(list(read_completions(tmp_path))) == 3


def test_recordings_are_what_the_recorded_teacher_reads(tmp_path: Path) -> None:
    import asyncio

    from cotdistill.methods.fine_tune_cot import FineTuneCot
    from cotdistill.teachers.recorded import Recorded

    rows = [as_recording(one) for one in read_completions(archive(tmp_path))]
    assert rows[0]["completion"].endswith("pens.\nTherefore, the answer is 11.")
    path = tmp_path / "imported.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    question = Question("multiarith/3", "Ana has 3 pens and buys 8. How many?", "11")

    async def annotate() -> Any:
        from cotdistill.model.client import ModelClient
        from cotdistill.model.completion_log import CompletionLog

        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with ModelClient({"teacher": Recorded(files=(path,)).open()}, log) as ask:
                return await FineTuneCot(samples=2).annotate(question, ask, Number())

    rationales = asyncio.run(annotate())
    assert [rationale.text for rationale in rationales] == ["Ana has 3 + 8 = 11 pens."] * 2
    assert rationales[0].answer == "11"


def test_rationales_get_the_tasks_own_question_ids(tmp_path: Path) -> None:
    (first, *_, single) = read_completions(archive(tmp_path))
    ids = question_ids([Question("multiarith/99", "Ana has 3 pens, and buys 8. How  many?")])
    rationale = as_rationale(first, Number(), ids, "multiarith")
    assert (rationale.question_id, rationale.answer, rationale.sample_index) == (
        "multiarith/99",
        "11",
        0,
    )
    assert as_rationale(single, Number(), ids, "multiarith").question_id == "multiarith/7"


@pytest.mark.parametrize(
    ("reply", "rationale", "answer"),
    [
        ({"content": "3 + 8 is 11. The answer is 11."}, "3 + 8 is 11.", " 11."),
        ({"content": "<think>3 + 8 is 11.</think>11"}, "3 + 8 is 11.", " 11"),
        (
            {"content": "The answer is 11.", "reasoning_content": "3 + 8 is 11."},
            "3 + 8 is 11.",
            " 11.",
        ),
        ({"content": "Adding 3 and 8.\nSo 11"}, "Adding 3 and 8.\nSo 11", " So 11"),
    ],
)
def test_chats(tmp_path: Path, reply: dict[str, str], rationale: str, answer: str) -> None:
    chat = {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "Q: 3+8?"},
            {"role": "assistant", **reply},
        ]
    }
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join([json.dumps(chat | {"answer": 11, "model": "m"})] * 2))
    first, second = read_completions(path)
    assert (first.question, first.gold, first.model) == ("3+8?", "11", "m")
    assert (first.reply.rationale, first.reply.answer) == (rationale, answer)
    assert (first.sample_index, second.sample_index) == (0, 1)


def test_sharegpt_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(
        '{"conversations": [{"from": "human", "value": "3+8?"}, {"from": "gpt", "value": "The '
        'answer is 11"}]}'
    )
    (one,) = read_completions(path)
    assert (one.question, one.reply.answer) == ("3+8?", " 11")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "D_x.json",
            '{"metadata": {}, "data": [{"question": "a"}]}',
            r"D_x.json: item 0: no field of completion, .* for the completion; it has question",
        ),
        (
            "D_x.json",
            '{"metadata": {}, "data": {"1": [{"question": "a"}]}}',
            r"D_x.json: data\['1'\]\[0\]: no field of completion",
        ),
        ("D_x.json", "{", r"D_x.json:1: malformed JSON"),
        (
            "c.jsonl",
            '{"messages": [{"role": "user", "content": "a"}]}',
            "c.jsonl:1: messages: needs a user's question and an",
        ),
        (
            "c.jsonl",
            '{"text": "a"}',
            "c.jsonl:1: no field of completion, .* for the completion; it has text",
        ),
    ],
)
def test_faulty_files_name_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_completions(tmp_path / name))


def test_a_folder_without_archives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no D_<dataset>\.json"):
        list(read_completions(tmp_path))


def test_inspect_log_has_what_its_viewer_needs() -> None:
    question = Question("a", "Which?", "B", ("x", "y"))
    trace = (
        {"role": "student", "prompt": "p", "text": "First, x."},
        {"role": "student", "prompt": "p", "text": "It is (B)."},
    )
    answer = Answer("a", "B", "It is (B).", trace=trace, prompt_tokens=5, completion_tokens=4)
    failed = (
        Question("b", "How?", "1"),
        Answer("b", "2", "2"),
        Scored("b", Verdict.ERROR, "2", note="RuntimeError: x"),
    )
    log = inspect_log(
        [(question, answer, Scored("a", Verdict.CORRECT, "B")), failed],
        task="rule_quiz",
        model="tslm/tiny",
        created="2026-11-20T11:00:00+00:00",
        settings={"seed": 0},
    )
    assert list(log) == ["version", "status", "eval", "plan", "results", "stats", "samples"]
    assert log["results"]["scores"][0]["metrics"]["accuracy"]["value"] == 0.5
    assert [sample["scores"]["answer"]["value"] for sample in log["samples"]] == ["C", "N"]
    assert log["samples"][1]["scores"]["answer"]["explanation"] == "RuntimeError: x"
    assert log["samples"][0]["output"]["usage"] == {
        "input_tokens": 5,
        "output_tokens": 4,
        "total_tokens": 9,
    }
    assert [message["role"] for message in log["samples"][0]["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    assert json.loads(json.dumps(log)) == log
