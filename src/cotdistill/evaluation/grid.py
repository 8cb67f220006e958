"""Evaluate: answers and gold become verdicts, and a grid of verdicts becomes accuracies with intervals and paired tests.

Every row of one task and split is scored on the same questions, the teacher's too: cells with other questions are refused.
An exception in a grader is ERROR, never WRONG, and above a stated share of errors the stage stops. Correct answers are
counted over all questions: NO_ANSWER and ERROR do not leave the denominator.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cotdistill.contracts import AnswerType
from cotdistill.errors import CotdistillError, DataError
from cotdistill.evaluation import statistics
from cotdistill.records import NO_ANSWER, Answer, Question, Record, Verdict

__all__ = [
    "Cell",
    "ScoreRow",
    "Scored",
    "Scores",
    "evaluate_answers",
    "grade",
    "sampled",
    "score_grid",
    "strata",
]


@dataclass(frozen=True, slots=True)
class Scored(Record):
    """One answered question with its verdict; `note` is the grader's own failure."""

    question_id: str
    verdict: Verdict
    answer: str | None
    completion_tokens: int = 0
    guide_tokens: int = 0
    note: str = ""
    leaks: bool = False
    """Whether a guide gave the answer away."""


def grade(answer_type: AnswerType, question: Question, answer: Answer) -> Verdict:
    """The verdict on one answer; a grader that raises gives ERROR."""
    return _graded(answer_type, question, answer)[0]


def _graded(answer_type: AnswerType, question: Question, answer: Answer) -> tuple[Verdict, str]:
    if question.answer is None:
        raise DataError(f"question {question.id} has no gold answer; it cannot be scored")
    if answer.answer is NO_ANSWER:
        return Verdict.NO_ANSWER, ""
    try:
        same = answer_type.same(answer.answer, question.answer)
    except CotdistillError:
        raise
    except Exception as error:  # noqa: BLE001  whatever a grader raises is the grader's failure, not the student's
        return Verdict.ERROR, f"{type(error).__name__}: {error}"
    return (Verdict.CORRECT if same else Verdict.WRONG), ""


def evaluate_answers(
    questions: Iterable[Question],
    answers: Iterable[Answer],
    answer_type: AnswerType,
    *,
    most_errors: float = 0.01,
) -> list[Scored]:
    """The verdicts of all questions in their order.

    Raises:
        DataError: a question has no answer or two, an answer no question, or more than `most_errors` of the verdicts
            are errors of the grader.
    """
    by_id: dict[str, Answer] = {}
    for answer in answers:
        if answer.question_id in by_id:
            raise DataError(f"question {answer.question_id} is answered twice")
        by_id[answer.question_id] = answer
    scored = []
    for question in questions:
        found = by_id.pop(question.id, None)
        if found is None:
            raise DataError(f"question {question.id} is not answered; run the stage infer again")
        verdict, note = _graded(answer_type, question, found)
        leaks = any(entry.get("leaks") for entry in found.trace)
        tokens = (found.completion_tokens, found.guide_tokens)
        scored.append(Scored(question.id, verdict, found.answer, *tokens, note, leaks))
    if by_id:
        raise DataError(
            f"answer to {next(iter(by_id))!r}, which is none of the questions; run the stage infer again"
        )
    failed = [one for one in scored if one.verdict is Verdict.ERROR]
    if len(failed) > most_errors * len(scored):
        raise DataError(
            f"the grader {type(answer_type).__name__} failed on {len(failed)} of {len(scored)} answers "
            f"(first: {failed[0].question_id}: {failed[0].note}); no score is given above {most_errors:.0%}"
        )
    return scored


@dataclass(frozen=True, slots=True)
class Cell:
    """The verdicts of one model on one split: a task, a method's label, a student, a strategy and a seed."""

    task: str
    method: str
    strategy: str
    seed: int
    verdicts: Mapping[str, Verdict]
    completion_tokens: int = 0
    split: str = "test"
    student: str = ""
    guide_tokens: int = 0
    leaks: int = 0
    selection: str = ""
    """What chose the checkpoint (`train.selection`); "oracle_test" is named so in every table."""

    @classmethod
    def of(cls, scored: Sequence[Scored], **where: Any) -> Cell:
        """A cell of `evaluate_answers`' result; `where` holds task, method, strategy, seed and the rest."""
        return cls(
            verdicts={one.question_id: one.verdict for one in scored},
            completion_tokens=sum(one.completion_tokens for one in scored),
            guide_tokens=sum(one.guide_tokens for one in scored),
            leaks=sum(one.leaks for one in scored),
            **where,
        )


@dataclass(frozen=True, slots=True)
class ScoreRow(Record):
    """One row of the grid, its seeds combined. Shares are in [0, 1]; tokens are completion tokens a question.
    `leaks` is the share of questions whose guide gave the answer away.

    `difference`, its interval, `p` and `p_corrected` (Holm, over the whole grid) compare with the baseline on the same
    questions; None for the baseline itself and where there is none.
    """

    task: str
    split: str
    student: str
    method: str
    strategy: str
    seeds: tuple[int, ...]
    n: int
    accuracy: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    no_answer: float
    errors: float
    tokens: float
    guide_tokens: float = 0.0
    leaks: float = 0.0
    selection: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    test: str = ""


@dataclass(frozen=True, slots=True)
class Scores:
    """The whole grid, and for each row the matrix of right answers (seeds, questions) by question id."""

    rows: tuple[ScoreRow, ...]
    baseline: str
    question_ids: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    correct: tuple[Any, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """What `scores.json` holds."""
        return {
            "baseline": self.baseline,
            "intervals": "95 %: Wilson for one seed, two-way clustered t over seeds and questions for several",
            "correction": "Holm over all comparisons of this grid",
            "rows": [row.to_json() for row in self.rows],
        }

    def by_group(self, row: int, groups: Mapping[str, Any]) -> dict[Any, dict[str, float]]:
        """Accuracy of one row by group of questions; `groups` maps question ids to keys (see `strata`)."""
        one = self.rows[row]
        ids = self.question_ids[one.task, one.split]
        return statistics.accuracy_by([groups[id] for id in ids], self.correct[row])


def score_grid(cells: Sequence[Cell], baseline: str = "answer_only") -> Scores:
    """Rows of the grid, each compared with the row of the method `baseline` of the same task, split and student.

    Where a baseline was run with several strategies, the same strategy is compared, else the first.

    Raises:
        ValueError: rows of one task and split hold different questions.
    """
    ids: dict[tuple[str, str], tuple[str, ...]] = {}
    grouped: dict[tuple[str, str, str, str, str], list[Cell]] = {}
    for cell in cells:
        place = (cell.task, cell.split)
        order = ids.setdefault(place, tuple(cell.verdicts))
        if set(order) != cell.verdicts.keys():
            raise ValueError(
                f"{cell.task} {cell.split}: {cell.method} (seed {cell.seed}) has answers to {len(cell.verdicts)} questions that "
                f"are not the {len(order)} of the other rows; every row is scored on the same questions"
            )
        group = grouped.setdefault(
            (cell.task, cell.split, cell.student, cell.method, cell.strategy), []
        )
        if any(other.seed == cell.seed for other in group):
            raise ValueError(
                f"{cell.task} {cell.split}: {cell.method} seed {cell.seed} stands twice in the grid"
            )
        group.append(cell)
    matrices = {key: _matrix(group, ids[key[0], key[1]]) for key, group in grouped.items()}
    rows, compared = [], []
    for key, group in grouped.items():
        rows.append(_row(group, matrices[key]))
        base = _baseline(key, baseline, matrices)
        compared.append(
            None
            if base is None or base == key
            else statistics.compare(matrices[key], matrices[base])
        )
    corrected = iter(statistics.holm([one.p for one in compared if one is not None]))
    finished = [
        row if one is None else _with(row, one, next(corrected))
        for row, one in zip(rows, compared, strict=True)
    ]
    return Scores(tuple(finished), baseline, ids, tuple(matrices.values()))


def _matrix(group: Sequence[Cell], ids: Sequence[str]) -> Any:
    return np.array(
        [[cell.verdicts[id] is Verdict.CORRECT for id in ids] for cell in group], dtype=bool
    )


def _row(group: Sequence[Cell], correct: Any) -> ScoreRow:
    first, n = group[0], correct.shape[1]
    low, high = statistics.accuracy_interval(correct) if n else (0.0, 1.0)
    verdicts = [verdict for cell in group for verdict in cell.verdicts.values()]
    total = max(len(verdicts), 1)
    return ScoreRow(
        task=first.task,
        split=first.split,
        student=first.student,
        method=first.method,
        strategy=first.strategy,
        seeds=tuple(cell.seed for cell in group),
        n=n,
        accuracy=float(correct.mean()) if n else 0.0,
        low=low,
        high=high,
        by_seed=tuple(float(one) for one in correct.mean(axis=1)) if n else (),
        no_answer=verdicts.count(Verdict.NO_ANSWER) / total,
        errors=verdicts.count(Verdict.ERROR) / total,
        tokens=sum(cell.completion_tokens for cell in group) / total,
        guide_tokens=sum(cell.guide_tokens for cell in group) / total,
        leaks=sum(cell.leaks for cell in group) / total,
        selection=first.selection,
    )


def _baseline(
    key: tuple[str, ...], method: str, matrices: Mapping[tuple[str, str, str, str, str], Any]
) -> Any:
    task, split, student, _, strategy = key
    same = [other for other in matrices if other[:2] == (task, split) and other[3] == method]
    same = [other for other in same if other[2] == student] or (
        same if len({other[2] for other in same}) == 1 else []
    )
    return next((other for other in same if other[4] == strategy), same[0] if same else None)


def _with(row: ScoreRow, one: statistics.Comparison, corrected: float) -> ScoreRow:
    return replace(
        row,
        difference=one.difference,
        difference_low=one.low,
        difference_high=one.high,
        p=one.p,
        p_corrected=corrected,
        test=one.test,
    )


_OPERATIONS = {"+": "addition", "-": "subtraction", "*": "multiplication", "×": "multiplication", "x": "multiplication",
               "/": "division", "÷": "division"}  # fmt: skip
_OPERATION = re.compile(r"(?<=[\d)\s])\s*([-+*×x/÷])\s*(?=[\d($])")


def strata(questions: Iterable[Question]) -> dict[str, dict[str, Any]]:
    """Groups of questions by id: number of gold steps, length in words (by twenties), operations of the gold solution.

    Steps come from `steps` or from the sentences of the gold rationale; a data set's own `meta` (steps, operation) goes first.
    """
    steps, lengths, operations = {}, {}, {}
    for question in questions:
        sentences = len(re.findall(r"[.!?](?:\s|$)", question.rationale))
        steps[question.id] = (
            question.meta.get("steps") or len(question.steps) or sentences or "unknown"
        )
        words = len(question.text.split())
        lengths[question.id] = f"{words // 20 * 20:03d}–{words // 20 * 20 + 19:03d} words"
        worked = " ".join([question.rationale, *(step.solution for step in question.steps)])
        found = sorted({_OPERATIONS[sign] for sign in _OPERATION.findall(worked)})
        operations[question.id] = question.meta.get("operation") or " and ".join(found) or "none"
    return {"steps": steps, "length": lengths, "operation": operations}


def sampled(
    questions: Sequence[Question],
    answers: Iterable[Answer],
    answer_type: AnswerType,
    ks: Sequence[int] = (1, 2, 4, 8, 16, 32),
) -> dict[str, dict[int, float]]:
    """pass@k and majority@k for several k from the votes that one sampling left in the answers; k above them is left out.

    A question that failed has fewer votes: the missing ones are no answers.
    """
    by_id = {answer.question_id: answer.votes for answer in answers}
    samples = max(map(len, by_id.values()), default=0)
    votes = [
        (*by_id[question.id], *[None] * (samples - len(by_id[question.id])))
        for question in questions
    ]
    right: list[Mapping[Hashable, bool]] = [
        {vote: answer_type.same(vote, question.answer) for vote in set(cast)}
        for question, cast in zip(questions, votes, strict=True)
    ]
    counts = [
        sum(verdict[vote] for vote in cast) for cast, verdict in zip(votes, right, strict=True)
    ]
    usable = [k for k in ks if k <= samples]
    return {
        "pass": {k: statistics.pass_at_k(counts, samples, k) for k in usable},
        "majority": {k: statistics.majority_at_k(votes, right, k) for k in usable},
    }
