"""What is done again when a recipe, a prompt or a setting changes, and what is not."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import FatalTeacherError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.runs import fingerprints
from cotdistill.runs.run import Run
from cotdistill.tasks import custom
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_jsonl

METHOD = """
    from cotdistill.contracts import Method
    from cotdistill.records import Example, Rationale

    class Mine(Method):
        '''Asks twice.'''

        async def annotate(self, question, ask, answer_type):
            (thought,) = await ask("Think: " + question.text)
            (reply,) = await ask("Answer: " + question.text)
            return [Rationale(question.id, thought.text, answer_type.extract(reply.text))]

        def examples(self, question, rationale):
            yield Example("student", question.text, rationale.text)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    rows = [{"question": f"{n} + 1?", "answer": "7"} for n in range(30)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "custom", "path": str(tmp_path / "questions.jsonl"), "answer": "number"}
    return {
        "name": "r",
        "output": str(tmp_path),
        "task": {**task, "label": "sums"},
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "methods": [{"name": "fine_tune_cot", "student_max_tokens": 8, "label": "cot"}],
        "limit": {"train": 6, "validation": 2, "test": 4},
        "train": {"epochs": 1, "batch_size": 3},
    }


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a user's own method, `mine:Mine`."""
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(METHOD))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # edits come faster than a clock's tick
    yield path
    sys.modules.pop("mine", None)


def again(recipe: dict[str, Any], *stages: str, **changes: Any) -> Run:
    """The recipe in what is as good as a new process."""
    sys.modules.pop("mine", None)
    fingerprints._source.cache_clear()
    return run_recipe(parse_recipe({**recipe, **changes}), None, stages or None)


def asked(run: Run) -> tuple[int, int]:
    """Completions that the teacher wrote, and that came from the log, in this call."""
    teacher = run.ledger.roles.get("teacher")
    return (teacher.completions, teacher.from_log) if teacher else (0, 0)


def kept(run: Run) -> set[str]:
    """The questions of the rationales that passed."""
    (path,) = run.folder.rglob("kept.jsonl")
    return {json.loads(line)["question_id"] for line in path.read_text().splitlines()}


def test_settings_that_change_no_result_do_nothing_on_a_finished_run(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    student = {"model": str(tiny_checkpoint(tmp_path / "base", "gpt2")), "label": "tiny"}
    run = again(recipe, student=student)
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("done.json")}
    assert len(before) == 5
    changed = again(
        recipe,
        student=student,
        teacher={**recipe["teacher"], "latency_s": 0.001},
        train={**recipe["train"], "save_minutes": 3, "report_to": []},
        max_concurrency=3,
        budget={"usd": 9},
    )
    assert asked(changed) == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("done.json")} == before


def test_an_edited_prompt_is_asked_anew_and_the_rest_comes_from_the_log(
    recipe: dict[str, Any], method: Path
) -> None:
    recipe = {**recipe, "methods": ["mine:Mine"]}
    assert asked(again(recipe, "generate", "curate")) == (12, 0)
    assert asked(again(recipe, "generate", "curate")) == (0, 0)
    method.write_text(method.read_text().replace("Think:", "Think hard:"))
    assert asked(again(recipe, "generate", "curate")) == (6, 6)
    method.write_text("# Only a remark.\n" + method.read_text())
    assert asked(again(recipe, "generate", "curate")) == (0, 0)


def test_a_replaced_recording_is_asked_anew(recipe: dict[str, Any], tmp_path: Path) -> None:
    """The content counts: a copy of the same recording elsewhere, or a newer one, does nothing."""
    recording = tmp_path / "recorded.jsonl"

    def record(answer: int) -> None:
        rows = [{"question": f"{n} + 1?", "response": f"It is {answer}."} for n in range(30)]
        recording.write_text("".join(json.dumps(row) + "\n" for row in rows))

    record(7)
    teacher = {"name": "recorded", "files": [str(recording)]}
    assert asked(again(recipe, "generate", "curate", teacher=teacher)) == (12, 0)
    os.utime(recording, (1, 1))
    assert asked(again(recipe, "generate", "curate", teacher=teacher)) == (0, 0)
    record(8)
    run = again(recipe, "generate", "curate", teacher=teacher)
    assert asked(run)[0] > 0
    assert not kept(run)


def test_an_edited_list_of_ids_is_curated_anew(recipe: dict[str, Any], tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("questions/0\n")
    filters = [{"name": "ids", "keep_file": str(listed)}]
    assert kept(again(recipe, "generate", "curate", filters=filters)) == {"questions/0"}
    listed.write_text("questions/0\nquestions/2\n")
    assert kept(again(recipe, "curate", filters=filters)) == {"questions/0", "questions/2"}


def test_a_setting_called_source_counts_as_any_other(recipe: dict[str, Any]) -> None:
    made = set()
    for where in ("teacher", "base"):
        methods = [{"name": "fine_tune_cot", "source": where, "label": "x"}]
        run = Run(parse_recipe({**recipe, "methods": methods}))
        ((task, entry),) = run.trained()
        made.add(run.generate_artifact(task, entry).fingerprint)
    assert len(made) == 2


def test_old_rationales_stay_until_new_ones_are_whole(recipe: dict[str, Any], method: Path) -> None:
    recipe = {**recipe, "methods": ["mine:Mine"]}
    old = method.read_text()
    again(recipe, "generate")
    method.write_text(old.replace("Think:", "Think hard:"))
    faults = {"Think hard: 2": "fatal"}
    with pytest.raises(FatalTeacherError):
        again(recipe, "generate", teacher={**recipe["teacher"], "faults": faults})
    method.write_text(old)
    run = again(recipe, "generate")
    assert asked(run) == (0, 0)
    ((task, entry),) = run.trained()
    rows = list(read_jsonl(run.generate_artifact(task, entry).folder / "rationales.jsonl"))
    assert len(rows) == 6


def test_an_edited_filter_curates_anew(
    recipe: dict[str, Any], tmp_path: Path, method: Path
) -> None:
    method.write_text(
        method.read_text()
        + textwrap.dedent("""
        from cotdistill.contracts import Filter

        class Drop(Filter):
            '''Drops what begins with a text.'''

            def apply(self, candidates, answer_type):
                for question, rationale in candidates:
                    yield question, rationale, None
        """)
    )
    run = again(recipe, "generate", "curate", filters=["mine:Drop"])
    assert len(list(run.rationales())) == 6
    assert {row["dropped_by"] for row in run.rationales()} == {None}
    method.write_text(method.read_text().replace("rationale, None", "rationale, 'no'"))
    run = again(recipe, "generate", "curate", filters=["mine:Drop"])
    assert asked(run) == (0, 0)
    assert {row["reason"] for row in run.rationales()} == {"no"}


def test_a_finished_stage_reads_no_data_and_notices_changed_data(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed, reads = parse_recipe(recipe), list[str]()
    read = custom.Custom.load

    def load(task: custom.Custom) -> custom.Splits:
        reads.append(str(task.path))
        return read(task)

    def again() -> int:
        custom._splits.cache_clear()  # as another process would have it
        reads.clear()
        run_recipe(parsed, stages=["generate", "curate"])
        return len(reads)

    monkeypatch.setattr(custom.Custom, "load", load)
    assert (again(), again()) == (1, 0)
    digest = Run(parsed).digest("sums", "train")
    path, notes = tmp_path / "questions.jsonl", tmp_path / "r" / "digests.json"
    changed = path.read_text().replace("1 + 1?", "1 + 2?")
    before = path.stat()
    path.write_text(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # the same size and time
    assert Run(parsed).digest("sums", "train") != digest
    assert (again(), again()) == (1, 0)
    for damage in ("{", '{"x": 1}', "[]"):
        notes.write_text(damage)
        assert (again(), again()) == (1, 0)
