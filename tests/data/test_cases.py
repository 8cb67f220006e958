"""What real endpoints and files do: every case of the shared folder with its right outcome, read
where it lies."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotdistill import plugins
from cotdistill.answers.number import Number
from cotdistill.cli.app import app
from cotdistill.contracts import AnswerType
from cotdistill.data.fields import gold_of, question_of, replies_of, split_reply, texts_of
from cotdistill.data.rows import Row, rows
from cotdistill.errors import DataError
from cotdistill.evaluation.interchange import as_rationale, read_completions
from cotdistill.evaluation.scoring import score_rows, summary
from cotdistill.records import Request, Verdict
from cotdistill.tasks.custom import Custom
from cotdistill.teachers.recorded import Recorded

CASES = Path(__file__).parents[3] / "shared" / "cases" / "files"
CASES = Path(os.environ.get("COTDISTILL_SHARED_CASES") or CASES)
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no shared cases at {CASES}")


def read(how: str, path: Path, folder: Path) -> object:
    """Read a file in one of the ways in which a user can have it read."""
    if how == "task":
        return Custom(path=str(path)).load()
    if how == "score":
        return list(score_rows(path, "number"))
    if how == "recorded":
        return asyncio.run(Recorded(files=(path,)).open().complete(Request("Q: ?"), [0]))
    arguments = ["init", str(path), "--out", str(folder / "recipe.yaml")]
    if how == "import":
        arguments = ["import", str(path), "--out", str(folder / "out.jsonl")]
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.mark.parametrize("how", ["task", "init"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut.jsonl.gz", r"cannot be unpacked as gzip after line \d+ .*; fetch it again"),
        ("no_gzip.jsonl.gz", "cannot be unpacked as gzip after line 0 .*rename it without .gz"),
    ],
)
def test_a_broken_archive_is_one_line(how: str, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{name}: {message}") as caught:
        read(how, CASES / name, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_broken_stream_in_a_gzip_file_is_one_line(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(b'{"question": "a", "answer": 1}\n' * 99999))
    whole[60:80] = b"\xff" * 20
    (tmp_path / "q.jsonl.gz").write_bytes(whole)
    with pytest.raises(DataError, match=r"q.jsonl.gz: cannot be unpacked as gzip after line 0"):
        list(rows(tmp_path / "q.jsonl.gz"))


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_nan_is_an_empty_cell_in_every_format(suffix: str, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    found = [json.loads(line) for line in (CASES / "nan_cells.jsonl").read_text().splitlines()]
    path = tmp_path / f"q{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]))
            writer.writeheader()
            writer.writerows(found)
    elif suffix == ".parquet":
        names = list(found[0])
        empty = [{n: None if row[n] != row[n] else row[n] for n in names} for row in found]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(empty), path)
    else:
        path.write_text(
            json.dumps(found) if suffix == ".json" else (CASES / "nan_cells.jsonl").read_text()
        )
    splits = Custom(path=str(path)).load()
    questions = [question for part in splits.values() for question in part]
    assert len(questions) == len(found)
    assert not any("nan" in (one.context + one.rationale + one.id).lower() for one in questions)
    assert {one.context for one in questions} == {"", "All pens are blue."}
    assert all(one.answer and one.answer.isdigit() for one in questions)


def test_infinity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "a", "answer": Infinity}')
    with pytest.raises(DataError, match=r"q.jsonl:1: malformed JSON: Infinity is no number"):
        list(rows(tmp_path / "q.jsonl"))


def test_a_cell_of_160_000_characters_is_read(tmp_path: Path) -> None:
    long = "He adds one, and again. " * 6700
    with (tmp_path / "q.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["question", "completion", "gold"], ["1 + 1?", long, "2"]])
    (row,) = rows(tmp_path / "q.csv")
    assert len(row.fields["completion"]) == len(long)


def test_json_lines_under_the_name_json(tmp_path: Path) -> None:
    path = CASES / "json_lines.json"
    count = len(list(rows(path)))
    assert len([one for part in Custom(path=str(path)).load().values() for one in part]) == count
    read("init", path, tmp_path)
    scored = [{**row.fields, "completion": f"It is {row.fields['answer']}."} for row in rows(path)]
    copy = tmp_path / "copy.json"
    copy.write_text("".join(json.dumps(row) + "\n" for row in scored))
    assert summary(score_rows(copy, "number"), "ours")["correct"] == count
    assert len(list(read_completions(copy))) == count
    assert asyncio.run(Recorded(files=(copy,)).open().complete(Request("Q: What is 3 + 4?"), [0]))


def test_a_list_of_chats_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = CASES / "bom_chats.json"
    count = len(json.loads(path.read_text("utf-8-sig")))
    imported = list(read_completions(path))
    assert len(imported) == count and imported[3].question == "What is 3 + 4?"
    assert imported[3].reply.rationale == "Add 4." and imported[3].reply.answer == " 7."
    (reply,) = asyncio.run(
        Recorded(files=(path,)).open().complete(Request("Q: What is 3 + 4?\nA:"), [0])
    )
    assert reply.text == " Add 4. The answer is 7."
    read("init", path, tmp_path)
    from cotdistill.recipe import load_recipe

    task = load_recipe(tmp_path / "recipe.yaml").tasks[0].plugin
    assert isinstance(task, Custom)
    questions = [one for part in task.load().values() for one in part]
    assert len(questions) == count
    assert {(one.text, one.answer, one.rationale) for one in questions} >= {
        ("What is 3 + 4?", "7", "Add 4.")
    }


def test_an_index_of_options_is_refused_until_it_is_said(tmp_path: Path) -> None:
    for name, right in (("choice_index_words", "C"), ("choice_index_numbers", None)):
        path = str(CASES / f"{name}.jsonl")
        with pytest.raises(
            DataError, match=r":1: answer '.' may be the number.*set `answer_index: 0`"
        ):
            Custom(path=path, answer="choice").load()
        task = Custom(path=path, answer="choice", answer_index=0, shares={"test": 1.0})
        found = list(task.questions("test"))
        expected = [row.fields["answer"] for row in rows(Path(path))]
        assert ["ABCD".index(str(one.answer)) for one in found] == expected
        assert right is None or {one.answer for one in found} == {right}
        read("init", Path(path), tmp_path)
        recipe = (tmp_path / "recipe.yaml").read_text()
        assert "answer: choice" in recipe and "answer_index: 0" in recipe
        (tmp_path / "recipe.yaml").unlink()


@pytest.mark.parametrize(("name", "correct", "n"), [("right", 5, 5), ("wrong", 0, 4)])
def test_a_worked_solution_is_read_as_gold(name: str, correct: int, n: int, tmp_path: Path) -> None:
    path = CASES / f"gold_worked_solution_{name}.jsonl"
    result = summary(score_rows(path, "number"), "ours")
    assert (result["correct"], result["n"]) == (correct, n)
    for after in ("", "####"):
        task = Custom(path=str(path), shares={"test": 1.0}, answer_after=after)
        questions = list(task.questions("test"))
        assert all(one.answer and one.answer.isdigit() for one in questions)
        assert all("<<" in one.rationale for one in questions)
    read("init", path, tmp_path)
    recipe = (tmp_path / "recipe.yaml").read_text()
    assert 'answer_after: "####"' in recipe or "answer_after: '####'" in recipe


def test_a_paragraph_is_no_number() -> None:
    with pytest.raises(DataError, match="is no number; name the mark in `answer_after`"):
        gold_of(
            "She bakes 12 buns and eats two of them so that 10 are left in the end.",
            Number(),
            "f:1",
        )
    assert gold_of("$1,200", Number(), "f:1").canonical == "1200"
    assert gold_of("18 apples", Number(), "f:1").canonical == "18"


def test_answer_tags_are_read_in_every_answer_type() -> None:
    found = list(rows(CASES / "answer_tags.jsonl"))
    assert len(found) == 16
    for row in found:
        kind = plugins.build("answers", row.fields["answer_type"], AnswerType)
        options = tuple(row.fields.get("options", ()))
        (text,) = texts_of(row)
        for markers in ((), ("The answer is",), ("-->",)):
            answer = kind.extract(text, options=options, markers=markers)
            assert kind.same(answer, row.fields["gold"]), (text, answer)


def test_thinking_without_its_begin() -> None:
    imported = {one.index: one for one in read_completions(CASES / "thinking_without_begin.jsonl")}
    for name, one in imported.items():
        rationale = as_rationale(one, Number(), {}, "t")
        assert rationale.answer == (None if name == "cut" else "7"), name
        assert not any(tag in rationale.text for tag in ("think>", "THINK]", "<think")), name
    assert imported["end_only_short"].reply.rationale.startswith("4 plus 3 makes 7. Let me")
    items = list(score_rows(CASES / "thinking_without_begin.jsonl", "number"))
    assert [item.scores["ours"].verdict for item in items] == [
        Verdict.NO_ANSWER if item.index == "cut" else Verdict.CORRECT for item in items
    ]


def test_parts_of_a_content_are_joined() -> None:
    first, second = rows(CASES / "content_parts.jsonl")
    assert question_of(first) == "Lea has 4 pots and buys 3. How many has she?"
    said = "4 + 3 = 7, so she has 7.\nThe answer is 7."
    assert texts_of(first) == texts_of(second) == [said]
    (reply,) = replies_of(second)
    assert (reply.rationale, reply.answer) == ("4 + 3 = 7, so she has 7.", " 7.")
    item = next(score_rows(CASES / "content_parts.jsonl", "number"))
    assert item.scores["ours"].verdict is Verdict.CORRECT


def test_a_list_of_completions_is_so_many_samples() -> None:
    path = CASES / "completion_list.jsonl"
    items = list(score_rows(path, "number"))
    verdicts = [item.scores["ours"].verdict for item in items]
    assert verdicts == [Verdict.CORRECT, Verdict.CORRECT, Verdict.WRONG]
    assert [one.sample_index for one in read_completions(path)] == [0, 1, 2]
    prompt = "Q: Lea has 4 pots and buys 3. How many has she?\nA:"
    replies = asyncio.run(Recorded(files=(path,)).open().complete(Request(prompt), range(5)))
    assert len(replies) == 3 and not any("[" in one.text for one in replies)


@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}], [["x", 7, None]], [None]])
def test_what_is_no_text_is_refused_with_its_place(value: object, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"question": "?", "completion": value, "gold": 1}))
    for how in ("score", "import", "recorded"):
        with pytest.raises(DataError, match=r"c.jsonl:1: completion is a \w+, not text"):
            read(how, tmp_path / "c.jsonl", tmp_path)


def test_instruction_and_input_are_joined(tmp_path: Path) -> None:
    path = CASES / "alpaca_input.json"
    joined = (
        "Solve the following problem step by step.\n"
        "Cem has 5 shells and finds 12 more. How many has Cem now?"
    )
    assert [one.question for one in read_completions(path)][2] == joined
    model = Recorded(files=(path,)).open()
    (reply,) = asyncio.run(model.complete(Request(f"Q: {joined}\nA:"), [0]))
    assert reply.text == " 5 + 12 = 17. The answer is 17."
    read("init", path, tmp_path)
    from cotdistill.recipe import load_recipe

    task = load_recipe(tmp_path / "recipe.yaml").tasks[0].plugin
    assert isinstance(task, Custom)
    questions = [one for part in task.load().values() for one in part]
    assert (joined, "17", "5 + 12 = 17.") in {(q.text, q.answer, q.rationale) for q in questions}


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (r"45^\circ", "45"),
        (r"\frac12", "0.5"),
        (r"\frac{1}2", "0.5"),
        (r"\frac{3}{-4}", "-0.75"),
        (r"\sqrt{16}", "4"),
        (r"0.\overline{3}", None),
        ("5!", None),
        (r"2\pi", None),
        (r"3\sqrt{2}", None),
        (r"\frac{1}{2}\pi", None),
        (r"\sqrt[3]{8}", None),
        (r"1\frac{1}{2}", "1.5"),
        (r"\frac{\sqrt{3}}{2}", None),
    ],
)
def test_no_piece_of_an_expression_is_a_number(written: str, number: str | None) -> None:
    for form in (
        "{}",
        "The answer is {}.",
        "The answer is ${}$.",
        "\\boxed{{{}}}",
        "#### {}",
        "So we get ${}$.",
    ):
        assert Number().extract(form.format(written)) == number, form
    assert Number().gold(written) == number


@pytest.mark.parametrize("mark", ["<|im_end|>", "<|eot_id|>", "</s>", "<|endoftext|>", "</s></s>"])
def test_marks_of_a_turns_end_are_stripped(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    row = {"question": "3 + 4?", "completion": f"Add 4. The answer is 7.{mark}\n", "gold": "7"}
    path.write_text(json.dumps(row))
    (one,) = read_completions(path)
    assert (one.reply.rationale, one.reply.answer) == ("Add 4.", " 7.")
    (reply,) = asyncio.run(Recorded(files=(path,)).open().complete(Request("Q: 3 + 4?\nA:"), [0]))
    assert reply.text == " Add 4. The answer is 7."


def test_an_empty_reply_holds_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"question": "3 + 4?", "completion": "", "gold": "7"}))
    (item,) = score_rows(path, "number")
    assert item.scores["ours"].verdict is Verdict.NO_ANSWER
    (one,) = read_completions(path)
    assert (one.reply.rationale, one.reply.answer) == ("", "")


@pytest.mark.parametrize(
    "text",
    ["<think></think>" * 7000, "<think>" * 14000, "Q1. " + " " * 100_000, "the answer (" * 8000],
)
def test_replies_are_taken_apart_in_linear_time(text: str) -> None:
    import time

    began = time.thread_time()
    for one in (text, text + "\nThe answer is 7."):
        split_reply(one)
    assert time.thread_time() - began < 0.2


def test_a_chat_named_as_the_column_has_one_reply_in_both_forms() -> None:
    rows = [
        Row(
            "f:1",
            {
                "conversations": [
                    {"from": "system", "value": "s"},
                    {"from": "human", "value": "3+8?"},
                    {"from": "gpt", "value": "The answer is 11."},
                ]
            },
        ),
        Row(
            "f:1",
            {
                "messages": [
                    {"role": "user", "content": "3+8?"},
                    {"role": "assistant", "content": "The answer is 11."},
                ]
            },
        ),
    ]
    for one in rows:
        (column,) = one.fields
        assert texts_of(one, column) == texts_of(one) == ["The answer is 11."]
        assert [reply.text for reply in replies_of(one, column)] == ["The answer is 11."]


def test_a_parquet_file_with_broken_letters_is_one_line(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "broken.parquet"
    table = pyarrow.Table.from_pylist([{"question": "Wie groß?"}])
    pyarrow.parquet.write_table(table, path, compression="none", use_dictionary=False)
    path.write_bytes(path.read_bytes().replace("ß".encode(), b"\xbe\xbe"))
    with pytest.raises(DataError, match=r"broken\.parquet: cannot be read as Parquet: .*fetch it"):
        list(rows(path))
