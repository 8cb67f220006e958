"""The whole run on one page: six stages over the grid of a recipe. Read this file first.

    generate → curate → train → infer → evaluate → report

Each stage reads what the stage before it wrote into the run folder, writes its own, and is skipped where the folder
already holds its work made from the very same inputs; so a second call, or a call after a kill, does only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from cotdistill.errors import UserError
from cotdistill.evaluation.contamination import contamination_report
from cotdistill.evaluation.grid import Cell as ScoredCell
from cotdistill.evaluation.grid import evaluate_answers, score_grid, strata
from cotdistill.model.batcher import BatchedModel
from cotdistill.recipe import Entry, MethodEntry, Recipe, resolved_yaml
from cotdistill.records import Answer, Question, Rationale
from cotdistill.runs.environment import environment
from cotdistill.runs.grid import Cell, Run
from cotdistill.runs.store import Unit, locked
from cotdistill.stages.curate import curate_rationales
from cotdistill.stages.generate import generate_rationales
from cotdistill.stages.infer import answer_questions
from cotdistill.stages.report import terminal_tables, write_report
from cotdistill.stages.summary import report_data
from cotdistill.stages.train import Training, train_method
from cotdistill.util.concurrency import run_async
from cotdistill.util.files import read_json, read_records, write_json, write_jsonl, write_text
from cotdistill.util.naming import fingerprint
from cotdistill.util.progress import Advance, Progress, SilentProgress

__all__ = ["STAGES", "curate", "evaluate", "generate", "infer", "report", "run_recipe", "train"]


def run_recipe(
    recipe: Recipe, progress: Progress | None = None, stages: Sequence[str] | None = None
) -> Run:
    """Run a recipe's stages (all six by default) in its folder; what is there already is not done again.

    Raises:
        CotdistillError: see `cotdistill.errors`; what was finished or paid for before it is kept.
    """
    run = Run(recipe, progress or SilentProgress())
    with locked(run.folder):
        write_text(run.folder / "recipe.yaml", resolved_yaml(recipe))
        write_json(run.folder / "environment.json", environment(recipe.seeds))
        for name in stages or STAGES:
            STAGES[name](run)
    return run


def generate(run: Run) -> None:
    """Ask the teacher for candidate rationales of every training question."""
    for task, method in _trained(run):
        unit = run.generate_unit(task, method)
        if _finished(unit):
            continue
        unit.begin()
        started = time.monotonic()
        total = run.digest(task.label, "train")[1]
        with run.progress.task(f"generate {task.label} · {method.label}", total) as advance:
            counts = run_async(_generate(run, task, method, advance))
        unit.finish({**counts, "seconds": time.monotonic() - started})
        _say_what_may_pass(run, f"{task.label} · {method.label}", counts["passing"])


async def _generate(run: Run, task: Entry, method: MethodEntry, advance: Advance) -> dict[str, Any]:
    reported = 0

    def report(done: int) -> None:
        nonlocal reported
        advance(done - reported, run.ledger.line())
        reported = done

    async with run.open_ask({}) as ask:
        counts = await generate_rationales(
            run.questions(task, "train"),
            run.method(task, method),
            ask,
            task.plugin.answer_kind,
            run.generate_unit(task, method).folder / "rationales.jsonl",
            in_flight=run.recipe.in_flight,
            on_progress=report,
        )
    return asdict(counts)


def curate(run: Run) -> None:
    """Keep the rationales that hold; drop the others with a reason."""
    for task, method in _trained(run):
        unit = run.curate_unit(task, method)
        if unit.facts is not None:
            continue
        generated = run.generate_unit(task, method)
        _require(generated, "generate")
        unit.begin()
        counts = curate_rationales(
            run.questions(task, "train"),
            generated.folder / "rationales.jsonl",
            run.filters(method),
            task.plugin.answer_kind,
            unit.folder,
        )
        unit.finish(counts.to_json())


def train(run: Run) -> None:
    """Train every method's roles for every student and seed."""
    for cell in run.cells():
        unit = run.train_unit(cell)
        if not cell.method.plugin.rounds or unit.facts is not None:
            continue
        curated = run.curate_unit(cell.task, cell.method)
        _require(curated, "curate")
        unit.begin()
        questions = {question.id: question for question in run.questions(cell.task, "train")}
        kept = read_records(curated.folder / "kept.jsonl", Rationale)
        started = time.monotonic()
        trained = train_method(
            _training(run, cell, list(questions.values())),
            [(questions[rationale.question_id], rationale) for rationale in kept],
            unit.folder,
            unit.fingerprint,
        )
        checkpoints = {
            role: str(path.relative_to(unit.folder)) for role, path in trained.checkpoints.items()
        }
        unit.finish(
            {
                "checkpoints": checkpoints,
                "roles": trained.facts,
                "seconds": time.monotonic() - started,
            }
        )


def _training(run: Run, cell: Cell, questions: Sequence[Question]) -> Training:
    return Training(
        method=run.method(cell.task, cell.method),
        student=cell.student.settings,
        settings=cell.method.train,
        seed=cell.seed,
        kind=cell.task.plugin.answer_kind,
        filters=run.filters(cell.method),
        questions=questions,
        validation=list(run.questions(cell.task, run.selection_split(cell.method))),
        open_ask=partial(run.open_ask, student=cell.student),
        load_role=run.load_role(cell.student),
        progress=run.progress,
        label=cell.label,
        in_flight=run.recipe.in_flight,
    )


def infer(run: Run) -> None:
    """Answer the questions of every evaluated split with every model and strategy, the teacher on the same ones."""
    for cell, split, strategy in run.answered():
        unit = run.infer_unit(cell, split, strategy)
        if _finished(unit):
            continue
        if cell.method.plugin.rounds:
            _require(run.train_unit(cell), "train")
        unit.begin()
        (unit.folder / "scored.jsonl").unlink(missing_ok=True)  # of earlier answers
        questions = list(run.questions(cell.task, split))
        started = time.monotonic()
        with run.progress.task(
            f"infer {cell.label} · {split} · {strategy.label}", len(questions)
        ) as advance:
            passing = run_async(
                _infer(run, cell, questions, strategy, unit.folder / "answers.jsonl", advance)
            )
        unit.finish(
            {"questions": len(questions), "passing": passing, "seconds": time.monotonic() - started}
        )
        _say_what_may_pass(run, cell.label, passing)


async def _infer(
    run: Run,
    cell: Cell,
    questions: Sequence[Question],
    strategy: Entry,
    out: Path,
    advance: Advance,
) -> int:
    unit = run.train_unit(cell)
    load = run.load_role(cell.student)
    checkpoints = unit.facts["checkpoints"] if unit.facts is not None else {}
    rules = strategy.plugin.rules
    models = {
        role: BatchedModel(load(unit.folder / path), rules=rules)
        for role, path in checkpoints.items()
    }
    async with run.open_ask(models, cell.student) as ask:
        return await answer_questions(
            questions,
            run.method(cell.task, cell.method),
            strategy.plugin,
            ask,
            cell.task.plugin.answer_kind,
            out,
            in_flight=run.recipe.in_flight,
            advance=advance,
        )


def evaluate(run: Run) -> None:
    """Compare all answers with gold on the same questions and write `scores.json`."""
    scored, measures = [], list[dict[str, Any]]()
    for cell, split, strategy in run.answered():
        unit = run.infer_unit(cell, split, strategy)
        _require(unit, "infer")
        folder = unit.folder
        answers = list(read_records(folder / "answers.jsonl", Answer))
        verdicts = evaluate_answers(
            run.questions(cell.task, split), answers, cell.task.plugin.answer_kind
        )
        write_jsonl(folder / "scored.jsonl", (verdict.to_json() for verdict in verdicts))
        where = {
            "task": cell.task.label,
            "method": cell.method.label,
            "strategy": strategy.label,
            "split": split,
        }
        student = "" if cell.method.plugin.prompted_role == "teacher" else cell.student.label
        selection = cell.method.train.selection if cell.method.plugin.rounds else ""
        scored.append(
            ScoredCell.of(verdicts, seed=cell.seed, student=student, selection=selection, **where)
        )
        figures = cell.method.plugin.measures(
            zip(run.questions(cell.task, split), answers, strict=True)
        )
        if figures:
            measures.append({**where, "student": student, "seed": cell.seed, **figures})
    scores = score_grid(scored, run.baseline)
    groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
        (task.label, split): strata(run.questions(task, split)) for task, split in run.evaluated()
    }
    by_group = [
        {
            name: _rows_of(scores.by_group(index, keys))
            for name, keys in groups[row.task, row.split].items()
        }
        for index, row in enumerate(scores.rows)
    ]
    write_json(run.folder / "contamination.json", _contamination(run))
    made_from = {"made_from": _answered_from(run)}
    write_json(
        run.folder / "scores.json",
        {**made_from, **scores.to_json(), "by_group": by_group, "measures": measures},
    )


def _rows_of(groups: dict[Any, dict[str, float]]) -> list[dict[str, Any]]:
    return [{"group": group, **figures} for group, figures in groups.items()]


def _contamination(run: Run) -> dict[str, Any]:
    """What of each task's test questions stands in training questions, exemplars or rationales."""
    reports = {}
    for task in run.recipe.tasks:
        methods = [method for method in run.recipe.methods if method.plugin.rounds]
        kept = (run.curate_unit(task, method).folder / "kept.jsonl" for method in methods)
        report = contamination_report(
            run.questions(task, "train"),
            run.questions(task, "test"),
            (exemplar for method in run.recipe.methods for exemplar in run.exemplars(task, method)),
            (
                rationale
                for path in kept
                if path.exists()
                for rationale in read_records(path, Rationale)
            ),
        )
        reports[task.label] = report.to_json()
    return reports


def report(run: Run) -> None:
    """Write report.html, report.md and report.json from the scores, and print the tables.

    Raises:
        UserError: the scores are not those of this recipe.
    """
    scores = run.folder / "scores.json"
    if not scores.exists() or read_json(scores).get("made_from") != _answered_from(run):
        raise UserError(f"{scores}: not the scores of this recipe; run the stage evaluate first")
    data = report_data(run)
    write_report(data, run.folder)
    for table in terminal_tables(data):
        run.progress.show(table)
    run.progress.say(f"report: {run.folder / 'report.html'}")


def _finished(unit: Unit) -> bool:
    """Whether nothing is left to do: what failed in passing (an endpoint that was away) is asked again."""
    return unit.facts is not None and not unit.facts.get("passing")


def _require(unit: Unit, stage: str) -> None:
    if unit.facts is None:
        raise UserError(
            f"{unit.folder}: not there, or made for another recipe; run the stage {stage} first"
        )


def _say_what_may_pass(run: Run, label: str, count: int) -> None:
    if count:
        run.progress.say(
            f"{label}: {count} questions failed for now; the same command asks them again"
        )


def _answered_from(run: Run) -> str:
    """Fingerprint of everything that the scores are made from."""
    return fingerprint([run.infer_unit(*answered).fingerprint for answered in run.answered()])


def _trained(run: Run) -> Iterator[tuple[Entry, MethodEntry]]:
    for task in run.recipe.tasks:
        for method in run.recipe.methods:
            if method.plugin.rounds:
                yield task, method


STAGES: dict[str, Callable[[Run], None]] = {
    "generate": generate,
    "curate": curate,
    "train": train,
    "infer": infer,
    "evaluate": evaluate,
    "report": report,
}
