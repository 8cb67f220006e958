"""Evaluate: compare all answers with gold on the same questions and write `scores.json`."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from cotdistill.errors import DataError
from cotdistill.evaluation.contamination import contamination_report
from cotdistill.evaluation.grid import (
    ScoredCell,
    evaluate_answers,
    majority_cell,
    score_grid,
    slices,
)
from cotdistill.evaluation.pairs import all_pairs
from cotdistill.records import Answer, Rationale, Verdict
from cotdistill.runs.run import Run
from cotdistill.runs.tracking import log_scores
from cotdistill.stages._job import StageJob
from cotdistill.util.files import read_json, read_records, write_json, write_jsonl


def jobs(run: Run) -> Iterator[StageJob]:
    """Yield one job: every row is compared with every other."""
    yield StageJob(run, evaluate)


def evaluate(run: Run) -> None:
    """Write the verdicts beside the answers, then `contamination.json` and `scores.json`.

    Raises:
        UserError: answers of this recipe are missing.
        DataError: a grader failed on too many answers, or answers and questions do not match.
    """
    scored, measures = [], list[dict[str, Any]]()
    for cell, split, strategy in run.answered():
        artifact = run.infer_artifact(cell, split, strategy)
        artifact.require("infer")
        answers = list(read_records(artifact.folder / "answers.jsonl", Answer))
        verdicts = evaluate_answers(
            run.questions(cell.task, split), answers, cell.task.plugin.answer_type
        )
        write_jsonl(artifact.folder / "scored.jsonl", (one.to_json() for one in verdicts))
        where = cell.labels(split, strategy)
        if cell.method.plugin.prompted_role == "teacher":
            where["student"] = ""
        selection = cell.method.train.selection if cell.method.plugin.rounds else ""
        scored.append(ScoredCell(scored=verdicts, selection=selection, **where))
        figures = cell.method.plugin.measures(
            zip(run.questions(cell.task, split), answers, strict=True)
        )
        if figures:
            measures.append({**where, **figures})
    for task, split in run.evaluated():
        train, asked = run.questions(task, "train"), list(run.questions(task, split))
        if asked:
            answer_type, seed = task.plugin.answer_type, run.recipe.seeds[0]
            scored.append(
                majority_cell(train, asked, answer_type, task=task.label, split=split, seed=seed)
            )
    scores = score_grid(scored, run.baseline)
    groups: dict[tuple[str, str], Any] = {
        (task.label, split): slices(run.questions(task, split)) for task, split in run.evaluated()
    }
    by_group = [
        {name: scores.by_group(i, keys) for name, keys in groups[row.task, row.split].items()}
        for i, row in enumerate(scores.rows)
    ]
    write_json(run.folder / "contamination.json", _contamination(run))
    path = run.folder / "scores.json"
    known = None
    with contextlib.suppress(DataError, FileNotFoundError):  # a damaged one is made again
        known = read_json(path).get("made_from")
    made_from = {"made_from": run.scores_made_from}
    pairs = [pair.to_json() for pair in all_pairs(scores)]
    extra = {"by_group": by_group, "pairs": pairs, "measures": measures}
    write_json(path, {**made_from, **scores.to_json(), **extra})
    if known != run.scores_made_from:  # a tracker keeps what it was told
        _track(run, scored)


def _track(run: Run, scored: Sequence[ScoredCell]) -> None:
    """Tell the trackers of every trained cell its accuracies."""
    for cell in run.cells():
        if not cell.method.plugin.rounds or not cell.method.train.report_to:
            continue
        labels = (cell.task.label, cell.method.label, cell.student.label, cell.seed)
        own = [one for one in scored if (one.task, one.method, one.student, one.seed) == labels]
        accuracies = {}
        for one in own:
            right = sum(answer.verdict is Verdict.CORRECT for answer in one.scored)
            accuracies[f"{one.split}/{one.strategy}/accuracy"] = right / max(1, len(one.scored))
        log_scores(run, cell, accuracies)


def _contamination(run: Run) -> dict[str, Any]:
    """Report the test questions of each task that stand in training data, exemplars, rationales."""
    reports = {}
    for task in run.recipe.tasks:
        methods = [method for method in run.recipe.methods if method.plugin.rounds]
        kept = (run.curate_artifact(task, method).folder / "kept.jsonl" for method in methods)
        report = contamination_report(
            run.questions(task, "train"),
            run.questions(task, "test"),
            (shown for method in run.recipe.methods for shown in run.exemplars(task, method)),
            (one for path in kept if path.exists() for one in read_records(path, Rationale)),
        )
        reports[task.label] = report.to_json()
    return reports
