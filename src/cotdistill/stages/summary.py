"""From a run folder to the report's data: scores, curation, what it cost, and some answers to read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from cotdistill.errors import UserError
from cotdistill.evaluation.grid import Scored, ScoreRow
from cotdistill.evaluation.published import Place, beside, load_published
from cotdistill.prompting.parts import question_block
from cotdistill.records import Answer, Verdict
from cotdistill.runs.run import Run
from cotdistill.stages._job import StageJob
from cotdistill.stages.report import (
    Block,
    Figure,
    ReportData,
    Row,
    Trace,
    terminal_tables,
    write_report,
)
from cotdistill.util.files import read_json, read_records

__all__ = ["jobs", "report", "report_data"]

TRACES_PER_CELL = 3


def jobs(run: Run) -> Iterator[StageJob]:
    """Yield one job: the report of the whole grid."""
    yield StageJob(run, report)


def report(run: Run) -> None:
    """Write report.html, report.md and report.json from the scores, and print the tables.

    Raises:
        UserError: the scores are not those of this recipe.
    """
    data = report_data(run)
    write_report(data, run.folder)
    for table in terminal_tables(data):
        run.progress.show(table)
    run.progress.log(f"report: {run.folder / 'report.html'}")


def report_data(run: Run) -> ReportData:
    """Return what the report of a run says, from `scores.json` and the markers of the stages.

    Raises:
        UserError: the scores are not those of this recipe.
    """
    path = run.folder / "scores.json"
    if not path.exists() or read_json(path).get("made_from") != run.scores_made_from:
        raise UserError(f"{path}: not the scores of this recipe; run the stage evaluate first")
    scores = read_json(path)
    rows = [ScoreRow.from_json(row) for row in scores["rows"]]
    environment = read_json(run.folder / "environment.json")
    return ReportData(
        name=run.recipe.name,
        blocks=tuple(_blocks(run, rows)),
        curation=tuple(_curation(run)),
        spent=tuple(_spent(run)),
        notes=tuple(_notes(run)),
        by_steps=_by_steps(run, rows, scores["by_group"]),
        published=_published(run, rows),
        traces=tuple(_traces(run)),
        environment={key: environment[key] for key in ("python", "machine", "cores", "seeds")}
        | {
            name: environment["packages"].get(name, "not installed")
            for name in ("torch", "transformers")
        },
    )


def _blocks(run: Run, rows: list[ScoreRow]) -> Iterator[Block]:
    tasks = tuple(task.label for task in run.recipe.tasks)
    for split in run.recipe.evaluate_on:
        by_label: dict[str, dict[str, Figure]] = {}
        for row in rows:
            if row.split == split:
                by_label.setdefault(_label(run, row), {})[row.task] = _figure(row)
        lines = tuple(Row(label, figures) for label, figures in by_label.items())
        yield Block(split, tasks, lines, run.baseline)


def _label(run: Run, row: ScoreRow) -> str:
    student = [row.student] if len(run.recipe.students) > 1 and row.student else []
    strategy = [row.strategy] if len(run.recipe.strategies) > 1 else []
    oracle = ["selected on the test split"] if row.selection == "oracle_test" else []
    extra = ", ".join([*student, *strategy, *oracle])
    return f"{row.method} ({extra})" if extra else row.method


def _figure(row: ScoreRow) -> Figure:
    return Figure(
        accuracy=row.accuracy,
        low=row.low,
        high=row.high,
        n=row.n,
        seeds=len(row.seeds),
        no_answer=row.no_answer,
        tokens=row.tokens,
        guide_tokens=row.guide_tokens,
        leaks=row.leaks,
        difference=row.difference,
        p=row.p_corrected,
    )


def _by_steps(
    run: Run, rows: list[ScoreRow], by_group: list[dict[str, Any]]
) -> tuple[tuple[str, ...], ...]:
    """Accuracy by number of gold steps, a line for each row of the first split; nothing where all have the same number."""
    lines = []
    steps: list[Any] = []
    for row, groups in zip(rows, by_group, strict=True):
        figures = {one["group"]: one for one in groups["steps"]}
        if row.split == run.recipe.evaluate_on[0] and len(figures) > 1:
            steps += [step for step in figures if step not in steps]
            lines.append((f"{row.task}, {_label(run, row)}", figures))
    steps.sort(key=lambda step: (isinstance(step, str), step))
    cells = ((label, *(_share(figures.get(step)) for step in steps)) for label, figures in lines)
    return (("", *(f"{step} steps" for step in steps)), *cells) if lines else ()


def _share(figure: dict[str, float] | None) -> str:
    return f"{100 * figure['accuracy']:.0f} (n={figure['n']})" if figure else ""


def _published(run: Run, rows: list[ScoreRow]) -> tuple[tuple[str, ...], ...]:
    """Published accuracies beside ours, where task, split, student, method and samples are the same."""
    tasks = {task.label: task for task in run.recipe.tasks}
    students = {student.label: student for student in run.recipe.students}
    methods = {method.label: method for method in run.recipe.methods}
    placed = []
    for row in rows:
        task, method, student = tasks[row.task], methods[row.method], students.get(row.student)
        model = str(student.settings.model) if student is not None else ""
        samples = str(method.settings.get("samples", ""))
        split = str(task.settings.get("split", "default"))
        placed.append((row, Place(str(task.name), split, model, str(method.name), samples)))
    found = beside(placed, load_published())
    lines = (
        (
            f"{one.published.source}, {one.published.table}: {one.published.task}, {one.published.student}, {one.published.method}",
            f"{one.published.value:.1f}",
            f"{one.ours:.1f} [{one.ours_low:.1f}, {one.ours_high:.1f}]",
        )
        for one in found
    )
    return (("figure", "published", "ours"), *lines) if found else ()


def _curation(run: Run) -> Iterator[dict[str, Any]]:
    for task in run.recipe.tasks:
        for method in run.recipe.methods:
            facts = run.curate_artifact(task, method).metadata if method.plugin.rounds else None
            if facts is not None:
                yield {"task": task.label, "method": method.label, **facts}


def _spent(run: Run) -> Iterator[tuple[str, str]]:
    """Seconds by stage and tokens; a stage's time is what it took when it was done, not the time of a rerun."""
    trained = [
        (task, method)
        for task in run.recipe.tasks
        for method in run.recipe.methods
        if method.plugin.rounds
    ]
    generate = _seconds(run.generate_artifact(task, method).metadata for task, method in trained)
    train = _seconds(
        run.train_artifact(cell).metadata for cell in run.cells() if cell.method.plugin.rounds
    )
    infer = _seconds(
        run.infer_artifact(cell, split, strategy).metadata
        for cell, split, strategy in run.answered()
    )
    yield "generate", f"{generate:.0f} s"
    yield "train", f"{train:.0f} s"
    yield "infer", f"{infer:.0f} s"
    for role in ("teacher", "guide"):
        sessions = [
            session["roles"][role] for session in run.sessions() if role in session["roles"]
        ]
        if sessions:
            total = {key: sum(session[key] or 0 for session in sessions) for key in sessions[0]}
            written = (
                f"{total['completions']:,} completions, {total['from_log']:,} more from the log"
            )
            yield (
                role,
                f"{written}; {total['prompt_tokens']:,} prompt and {total['completion_tokens']:,} completion tokens",
            )
            if any(session["money"] is not None for session in sessions):
                yield f"{role}, money", f"${total['money']:.4f}"


def _seconds(facts: Iterable[dict[str, Any] | None]) -> float:
    return float(sum(one["seconds"] for one in facts if one is not None))


def _notes(run: Run) -> Iterator[str]:
    limit = run.recipe.limit
    if limit.test is not None and any(
        run.digest(task.label, "test")[1] == limit.test for task in run.recipe.tasks
    ):
        yield f"Scored on the first {limit.test} questions of the split, the same for every row."
    looks = {
        "exact": "the same text",
        "template": "the same template",
        "near": "nearly the same text",
    }
    for task, report in read_json(run.folder / "contamination.json").items():
        found = [
            f"{report[key]['count']}/{report[key]['of']} {what}"
            for key, what in looks.items()
            if report[key]
        ]
        quoted = f"{report['rationales']['count']} quoted by a rationale"
        yield f"Contamination, {task}: test questions that stand in the training split: {', '.join(found)}; {quoted}."
    yield from _selections(run)
    for cell, split, strategy in run.answered():
        facts = run.infer_artifact(cell, split, strategy).metadata or {}
        if facts.get("transient"):
            what = f"{cell.label}, {split}, {strategy.label}: {facts['transient']} questions failed for now"
            yield f"{what} and count as wrong; the same command asks them again."


_KEPT = {
    "accuracy": "the one with the best accuracy on the validation split (the last one where that is empty)",
    "loss": "the one with the lowest loss on the validation split's gold rationales",
    "last": "the last one",
    "oracle_test": "the one with the best accuracy on the TEST split, which an honest figure never is",
}


def _selections(run: Run) -> Iterator[str]:
    """Which epoch each method's checkpoints are, and whether the test split had a say in it."""
    methods: dict[str, list[str]] = {}
    for method in run.recipe.methods:
        if method.plugin.rounds:
            methods.setdefault(method.train.selection, []).append(method.label)
    for selection, labels in methods.items():
        whose = f" of {', '.join(labels)}" if len(methods) > 1 else ""
        yield f"The epoch kept{whose} is {_KEPT[selection]}."
    if "oracle_test" not in methods:
        yield "The test split was scored once."


def _traces(run: Run) -> Iterator[Trace]:
    for cell, split, strategy in run.answered():
        if split != run.recipe.evaluate_on[0] or cell.seed != run.recipe.seeds[0]:
            continue
        folder = run.infer_artifact(cell, split, strategy).folder
        triples = zip(
            run.questions(cell.task, split),
            read_records(folder / "answers.jsonl", Answer),
            read_records(folder / "scored.jsonl", Scored),
            strict=True,
        )
        for question, answer, scored in itertools.islice(triples, TRACES_PER_CELL):
            yield Trace(
                task=cell.task.label,
                label=cell.method.label,
                question=question_block(question),
                gold=str(question.answer),
                verdict=Verdict(scored.verdict).value,
                answer=str(answer.answer),
                text=answer.text,
            )
