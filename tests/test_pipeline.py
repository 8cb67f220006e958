"""Whole runs: grids to the report, kinds of students, plug-ins of others, total failure."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill import plugins
from cotdistill.errors import TeacherError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.runs.run import Run
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_jsonl

CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture
def recipe(tmp_path: Path, base: Path) -> dict[str, Any]:
    rows = [{"question": f"{n} + 1?", "answer": "7"} for n in range(30)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "custom", "path": str(tmp_path / "questions.jsonl"), "answer": "number"}
    return {
        "name": "r",
        "output": str(tmp_path),
        "task": {**task, "label": "sums"},
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": {"model": str(base), "label": "tiny"},
        "methods": [{"name": "fine_tune_cot", "student_max_tokens": 8, "label": "cot"}],
        "limit": {"train": 6, "validation": 2, "test": 4},
        "train": {"epochs": 1, "batch_size": 3},
    }


def finished(recipe: dict[str, Any], **changes: Any) -> Run:
    return run_recipe(parse_recipe({**recipe, **changes}))


def test_a_grid_of_students_seeds_and_strategies_reaches_the_report(
    recipe: dict[str, Any], base: Path
) -> None:
    run = finished(
        {key: value for key, value in recipe.items() if key != "student"},
        students=[{"model": str(base), "label": name} for name in ("one", "two")],
        seeds=[0, 1],
        strategies=["greedy", {"name": "self_consistency", "n": 2, "label": "voting"}],
        methods=[*recipe["methods"], {"name": "zero_shot", "role": "teacher", "label": "T"}],
        evaluate_on=["validation", "test"],
    )
    rows = [row for row in run.scores() if row["method"] == "cot"]
    grid = {(row["student"], row["strategy"], row["split"]) for row in rows}
    assert len(rows) == len(grid) == 8
    assert all(row["seeds"] == [0, 1] and len(row["by_seed"]) == 2 for row in rows)
    teacher = [row for row in run.scores() if row["method"] == "T"]
    assert [row["accuracy"] for row in teacher] == [1.0] * 4
    report = (run.folder / "report.md").read_text("utf-8")
    assert all(
        f"cot ({student}, {how})" in report
        for student in ("one", "two")
        for how in ("greedy", "voting")
    )
    answers = list(run.answers())
    assert len(answers) == 2 * 2 * 2 * (2 + 4) + 2 * (2 + 4)
    assert {row["gold"] for row in answers} == {"7"} and None not in {
        row["verdict"] for row in answers
    }


def test_a_guide_helps_the_student(recipe: dict[str, Any]) -> None:
    run = finished(
        recipe,
        guide={"name": "scripted", "replies": " First we add one. Then we are done."},
        strategies=["greedy", {"name": "first_step", "source": "guide", "label": "guided"}],
    )
    alone, guided = (row for row in run.scores() if row["method"] == "cot")
    assert alone["guide_tokens"] == 0 < guided["guide_tokens"]
    texts = [row["text"] for row in run.answers() if row["strategy"] == "guided"]
    assert all("First we add one." in text for text in texts)


def test_a_student_in_chat_format(recipe: dict[str, Any], base: Path, tmp_path: Path) -> None:
    chat = shutil.copytree(base, tmp_path / "chat")
    (chat / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    run = finished(recipe, student={"model": str(chat), "format": "chat", "label": "chatty"})
    assert [row["student"] for row in run.answers()] == ["chatty"] * 4
    assert (run.folder / "sums" / "cot" / "chatty" / "seed-0" / "train").is_dir()


def test_a_student_with_adapters(recipe: dict[str, Any], base: Path) -> None:
    pytest.importorskip("peft")
    run = finished(recipe, student={"model": str(base), "lora": {"r": 2}, "label": "adapted"})
    assert [row["student"] for row in run.answers()] == ["adapted"] * 4


@pytest.mark.parametrize("faults", [{"+ 1?": "question failed"}])
def test_a_run_in_which_every_question_failed_stops_and_says_why(
    recipe: dict[str, Any], faults: dict[str, str]
) -> None:
    broken = {**recipe["teacher"], "faults": faults}
    with pytest.raises(TeacherError, match=r"6 of 6 questions failed: 6 × scripted fault \(.*told"):
        finished(recipe, teacher=broken)
    folder = Path(recipe["output"], "r", "sums", "cot")
    assert [path.name for path in folder.iterdir()] == ["generate"]
    assert not (folder / "generate" / "done.json").exists()
    (asked,) = [recipe["methods"][0] | {"name": "zero_shot", "role": "teacher"}]
    asked.pop("student_max_tokens")
    with pytest.raises(TeacherError, match="4 of 4 questions failed"):
        finished(recipe, name="prompted", teacher=broken, methods=[asked])


def test_a_student_answers_untrained(recipe: dict[str, Any]) -> None:
    run = finished(recipe, methods=[{"name": "zero_shot", "role": "base", "label": "untrained"}])
    (row,) = [row for row in run.scores() if row["method"] == "untrained"]
    assert (row["n"], row["failed"]) == (4, 0)


def test_questions_that_failed_are_named_with_the_endpoints_words(recipe: dict[str, Any]) -> None:
    lines: list[str] = []

    from cotdistill.util.progress import SilentProgress

    class Log(SilentProgress):
        def log(self, line: str) -> None:
            lines.append(line)

    teacher = {**recipe["teacher"], "faults": {" + 1?": "question failed"}}
    with pytest.raises(TeacherError):
        run_recipe(parse_recipe({**recipe, "teacher": teacher}), Log())
    assert not [line for line in lines if "failed" in line]
    rows = [row["question"] for row in read_jsonl(Path(recipe["task"]["path"]))]
    teacher["faults"] = dict.fromkeys((f"Q: {row}" for row in rows[::2]), "question failed")
    run_recipe(parse_recipe({**recipe, "teacher": teacher}), Log(), ["generate"])
    (line,) = [line for line in lines if "failed" in line]
    assert "questions failed: " in line and "× scripted fault (scripted teacher: told to" in line


PACKAGE = {
    "tasks": """
        from cotdistill import Question, Task
        from other.answers import Parity

        class Own(Task):
            '''Even or odd.'''
            answer_type = property(lambda self: Parity())

            def questions(self, split):
                start = {"train": 0, "validation": 50, "test": 60, "ood": 100}[split]
                for n in range(start, start + (6 if split != "ood" else 0)):
                    yield Question(f"{split}/{n}", f"Is {n} even?", "odd" if n % 2 else "even")
    """,
    "answers": """
        from cotdistill import AnswerType

        class Parity(AnswerType):
            '''Even or odd.'''

            def extract(self, text, *, options=(), markers=()):
                return next((word for word in ("even", "odd") if word in text), None)

            def same(self, answer, gold):
                return answer is not None and answer == gold
    """,
    "teachers": """
        from cotdistill import Completion, Teacher

        class Model:
            def identity(self):
                return {"teacher": "own"}

            async def complete(self, request, sample_indices):
                number = int(request.prompt.split()[1])
                text = f"{number} is {'odd' if number % 2 else 'even'}"
                return [Completion(text, index) for index in sample_indices]

            async def close(self):
                pass

        class Own(Teacher):
            '''Knows parity.'''

            def open(self):
                return Model()
    """,
    "methods": """
        from cotdistill import Answer, Example, Method, Rationale

        class Own(Method):
            '''One sentence.'''

            async def annotate(self, question, ask, answer_type):
                (one,) = await ask(question.text)
                return [Rationale(question.id, one.text, answer_type.extract(one.text))]

            def examples(self, question, rationale):
                yield Example("student", question.text, rationale.text)

            async def solve(self, question, ask, answer_type):
                (one,) = await ask(question.text, role="student", max_tokens=8)
                return Answer(question.id, answer_type.extract(one.text), one.text)
    """,
    "filters": """
        from cotdistill import Filter

        class Own(Filter):
            '''No fours.'''

            def apply(self, candidates, answer_type):
                for question, rationale in candidates:
                    yield question, rationale, "a four" if "4" in rationale.text else None
    """,
    "strategies": """
        import dataclasses
        from cotdistill import Strategy

        class Own(Strategy):
            '''Says even where there is no answer.'''

            async def run(self, solve, question, ask, answer_type):
                answer = await solve(question, ask)
                return dataclasses.replace(answer, answer="even", text="own: " + answer.text)
    """,
    "engines": """
        from cotdistill import Completion, EnginePlugin

        class Engine:
            def identity(self):
                return {"engine": "own"}

            def generate(self, batch):
                return [Completion("odd", index) for _, index in batch]

        class Own(EnginePlugin):
            '''Always the same.'''

            def load(self, checkpoint, **format):
                return Engine()
    """,
    "executors": """
        from cotdistill import Executor

        done = []

        class Own(Executor):
            '''Backwards.'''

            def run(self, jobs):
                for job in reversed(list(jobs)):
                    job()
                    done.append((job.stage, job.key))
    """,
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of another author with one plug-in of each kind, as entry points."""
    place = tmp_path / "site"
    (place / "other").mkdir(parents=True)
    (place / "other" / "__init__.py").touch()
    points = []
    for kind, text in PACKAGE.items():
        (place / "other" / f"{kind}.py").write_text(textwrap.dedent(text))
        name = "Parity" if kind == "answers" else "Own"
        points.append(f"[cotdistill.{kind}]\nown = other.{kind}:{name}\n")
    info = place / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(str(place))
    yield "other"
    for name in [name for name in sys.modules if name.split(".")[0] == "other"]:
        del sys.modules[name]


def test_another_package_adds_one_plugin_of_each_kind(package: str, recipe: dict[str, Any]) -> None:
    own = {"task", "teacher", "engine", "executor", "strategy"}
    run = finished(
        {key: value for key, value in recipe.items() if key != "limit"},
        **dict.fromkeys(own, "own"),
        methods=["own"],
        filters=["own"],
        train={"epochs": 1, "selection": "last"},
    )
    (row,) = (row for row in run.scores() if row["method"] == "own")
    assert (row["task"], row["strategy"], row["accuracy"], row["n"]) == ("own", "own", 0.5, 6)
    assert {answer["text"] for answer in run.answers()} == {"own: odd"}
    assert {one["dropped_by"] for one in run.rationales() if "4" in one["text"]} == {"own"}
    assert sum(one["dropped_by"] is None for one in run.rationales()) == 5
    done = vars(sys.modules["other.executors"])["done"]
    assert {stage for stage, _ in done} >= {"generate", "train", "infer", "report"}
    assert plugins.summary("answers", "own") == "Even or odd."
