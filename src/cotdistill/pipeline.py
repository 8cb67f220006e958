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
from cotdistill.runs.store import Artifact, locked
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
        artifact = run.generate_artifact(task, method)
        if _finished(artifact):
            continue
        artifact.start()
        started = time.monotonic()
        total = run.digest(task.label, "train")[1]
        with run.progress.task(f"generate {task.label} · {method.label}", total) as advance:
            counts = run_async(_generate(run, task, method, advance))
        artifact.complete({**counts, "seconds": time.monotonic() - started})
        _log_transient(run, f"{task.label} · {method.label}", counts["transient"])


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
            task.plugin.answer_type,
            run.generate_artifact(task, method).folder / "rationales.jsonl",
            max_concurrency=run.recipe.max_concurrency,
            on_progress=report,
        )
    return asdict(counts)


def curate(run: Run) -> None:
    """Keep the rationales that hold; drop the others with a reason."""
    for task, method in _trained(run):
        artifact = run.curate_artifact(task, method)
        if artifact.metadata is not None:
            continue
        generated = run.generate_artifact(task, method)
        _require(generated, "generate")
        artifact.start()
        counts = curate_rationales(
            run.questions(task, "train"),
            generated.folder / "rationales.jsonl",
            run.filters(method),
            task.plugin.answer_type,
            artifact.folder,
        )
        artifact.complete(counts.to_json())


def train(run: Run) -> None:
    """Train every method's roles for every student and seed."""
    for cell in run.cells():
        artifact = run.train_artifact(cell)
        if not cell.method.plugin.rounds or artifact.metadata is not None:
            continue
        curated = run.curate_artifact(cell.task, cell.method)
        _require(curated, "curate")
        artifact.start()
        questions = {question.id: question for question in run.questions(cell.task, "train")}
        kept = read_records(curated.folder / "kept.jsonl", Rationale)
        started = time.monotonic()
        trained = train_method(
            _training(run, cell, list(questions.values())),
            [(questions[rationale.question_id], rationale) for rationale in kept],
            artifact.folder,
            artifact.fingerprint,
        )
        checkpoints = {
            role: str(path.relative_to(artifact.folder))
            for role, path in trained.checkpoints.items()
        }
        artifact.complete(
            {
                "checkpoints": checkpoints,
                "roles": trained.metadata,
                "seconds": time.monotonic() - started,
            }
        )


def _training(run: Run, cell: Cell, questions: Sequence[Question]) -> Training:
    return Training(
        method=run.method(cell.task, cell.method),
        student=cell.student.settings,
        settings=cell.method.train,
        seed=cell.seed,
        answer_type=cell.task.plugin.answer_type,
        filters=run.filters(cell.method),
        questions=questions,
        validation=list(run.questions(cell.task, run.selection_split(cell.method))),
        open_ask=partial(run.open_ask, student=cell.student),
        load_role=run.load_role(cell.student),
        progress=run.progress,
        label=cell.label,
        max_concurrency=run.recipe.max_concurrency,
    )


def infer(run: Run) -> None:
    """Answer the questions of every evaluated split with every model and strategy, the teacher on the same ones."""
    for cell, split, strategy in run.answered():
        artifact = run.infer_artifact(cell, split, strategy)
        if _finished(artifact):
            continue
        if cell.method.plugin.rounds:
            _require(run.train_artifact(cell), "train")
        artifact.start()
        (artifact.folder / "scored.jsonl").unlink(missing_ok=True)  # of earlier answers
        questions = list(run.questions(cell.task, split))
        started = time.monotonic()
        with run.progress.task(
            f"infer {cell.label} · {split} · {strategy.label}", len(questions)
        ) as advance:
            transient = run_async(
                _infer(run, cell, questions, strategy, artifact.folder / "answers.jsonl", advance)
            )
        artifact.complete(
            {
                "questions": len(questions),
                "transient": transient,
                "seconds": time.monotonic() - started,
            }
        )
        _log_transient(run, cell.label, transient)


async def _infer(
    run: Run,
    cell: Cell,
    questions: Sequence[Question],
    strategy: Entry,
    out: Path,
    advance: Advance,
) -> int:
    artifact = run.train_artifact(cell)
    load = run.load_role(cell.student)
    checkpoints = artifact.metadata["checkpoints"] if artifact.metadata is not None else {}
    rules = strategy.plugin.rules
    models = {
        role: BatchedModel(load(artifact.folder / path), rules=rules)
        for role, path in checkpoints.items()
    }
    async with run.open_ask(models, cell.student) as ask:
        return await answer_questions(
            questions,
            run.method(cell.task, cell.method),
            strategy.plugin,
            ask,
            cell.task.plugin.answer_type,
            out,
            max_concurrency=run.recipe.max_concurrency,
            advance=advance,
        )


def evaluate(run: Run) -> None:
    """Compare all answers with gold on the same questions and write `scores.json`."""
    scored, measures = [], list[dict[str, Any]]()
    for cell, split, strategy in run.answered():
        artifact = run.infer_artifact(cell, split, strategy)
        _require(artifact, "infer")
        folder = artifact.folder
        answers = list(read_records(folder / "answers.jsonl", Answer))
        verdicts = evaluate_answers(
            run.questions(cell.task, split), answers, cell.task.plugin.answer_type
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
        kept = (run.curate_artifact(task, method).folder / "kept.jsonl" for method in methods)
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
    run.progress.log(f"report: {run.folder / 'report.html'}")


def _finished(artifact: Artifact) -> bool:
    """Whether nothing is left to do: what failed in passing (an endpoint that was away) is asked again."""
    return artifact.metadata is not None and not artifact.metadata.get("transient")


def _require(artifact: Artifact, stage: str) -> None:
    if artifact.metadata is None:
        raise UserError(
            f"{artifact.folder}: not there, or made for another recipe; run the stage {stage} first"
        )


def _log_transient(run: Run, label: str, count: int) -> None:
    if count:
        run.progress.log(
            f"{label}: {count} questions failed for now; the same command asks them again"
        )


def _answered_from(run: Run) -> str:
    """Fingerprint of everything that the scores are made from."""
    return fingerprint([run.infer_artifact(*answered).fingerprint for answered in run.answered()])


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
