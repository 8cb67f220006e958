"""From answers to verdicts, and from a grid of verdicts to accuracies with intervals and tests.

Every row of one task and split is scored on the same questions, the teacher's too: cells with other
questions are refused. An exception in a grader is ERROR, never WRONG, and above a stated share of
errors scoring stops. Correct answers are counted over all questions: NO_ANSWER, ERROR and questions
whose request failed stay in the denominator.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cotdistill.contracts import AnswerType
from cotdistill.errors import CotdistillError, DataError
from cotdistill.evaluation import statistics
from cotdistill.records import NO_ANSWER, Answer, Question, Record, Verdict

_Key = tuple[str, str, str, str, str]
"""Task, split, student, method and strategy of a row."""

MAJORITY = "majority answer"
"""Label of the row that needs no model (see `majority_cell`)."""


@dataclass(frozen=True, slots=True)
class Scored(Record):
    """One answered question with its verdict.

    `note` is the grader's own failure, or the words of the endpoint where the question's request
    failed for the reason `failed`. `leaks`: a guide gave the answer away. `truncated`: a reply
    ended at its length limit and no answer was read.
    """

    question_id: str
    verdict: Verdict
    answer: str | None
    completion_tokens: int = 0
    guide_tokens: int = 0
    note: str = ""
    leaks: bool = False
    failed: str = ""
    truncated: bool = False


def grade(answer_type: AnswerType, question: Question, answer: Answer) -> Verdict:
    """Return the verdict on one answer; a grader that raises gives ERROR.

    Raises:
        DataError: the question has no gold answer.
    """
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
    except Exception as error:  # noqa: BLE001  a grader's failure is not the student's
        return Verdict.ERROR, f"{type(error).__name__}: {error}"
    return (Verdict.CORRECT if same else Verdict.WRONG), ""


def evaluate_answers(
    questions: Iterable[Question],
    answers: Iterable[Answer],
    answer_type: AnswerType,
    *,
    most_errors: float = 0.01,
) -> list[Scored]:
    """Return the verdicts of all questions in their order.

    Raises:
        DataError: a question has no answer or two, an answer no question, or more than
            `most_errors` of the verdicts are errors of the grader.
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
        scored.append(_scored(question, found, answer_type))
    if by_id:
        wrong = f"answer to {next(iter(by_id))!r}, which is none of the questions"
        raise DataError(f"{wrong}; run the stage infer again")
    errors = [one for one in scored if one.verdict is Verdict.ERROR]
    if len(errors) > most_errors * len(scored):
        raise DataError(
            f"the grader {type(answer_type).__name__} failed on {len(errors)} of {len(scored)} "
            f"answers (first: {errors[0].question_id}: {errors[0].note}); "
            f"no score is given above {most_errors:.0%}"
        )
    return scored


def _scored(question: Question, answer: Answer, answer_type: AnswerType) -> Scored:
    verdict, note = _graded(answer_type, question, answer)
    failed = next((str(entry["failed"]) for entry in answer.trace if "failed" in entry), "")
    truncated = any(entry.get("truncated") for entry in answer.trace)
    return Scored(
        question_id=question.id,
        verdict=verdict,
        answer=answer.answer,
        completion_tokens=answer.completion_tokens,
        guide_tokens=answer.guide_tokens,
        note=answer.text.removeprefix(f"[failed: {failed}] ") if failed else note,
        leaks=any(entry.get("leaks") for entry in answer.trace),
        failed=failed,
        truncated=truncated and verdict is Verdict.NO_ANSWER,
    )


@dataclass(frozen=True, slots=True)
class ScoredCell:
    """The verdicts of one model: a task, a split, a method's label, a student, a strategy, a seed.

    `selection` is what chose the checkpoint (`train.selection`); "oracle_test" is named in every
    table.
    """

    task: str
    method: str
    strategy: str
    seed: int
    scored: Sequence[Scored]
    split: str = "test"
    student: str = ""
    selection: str = ""

    @property
    def row(self) -> _Key:
        """Return the key that the seeds of one row share."""
        return self.task, self.split, self.student, self.method, self.strategy


def majority_cell(
    train: Iterable[Question],
    questions: Sequence[Question],
    answer_type: AnswerType,
    *,
    task: str,
    split: str,
    seed: int,
) -> ScoredCell:
    """Score the most common gold answer of the training split on every question: a guess's worth.

    Of equally common answers the first one counts.
    """
    common = Counter(one.answer for one in train if one.answer is not None).most_common(1)
    guess = common[0][0] if common else NO_ANSWER
    answers = [Answer(question.id, guess, guess or "") for question in questions]
    scored = evaluate_answers(questions, answers, answer_type)
    return ScoredCell(task, MAJORITY, "", seed, scored, split)


@dataclass(frozen=True, slots=True)
class ScoreRow(Record):
    """One row of the grid, its seeds combined: the record from scoring to report.

    `no_answer`, `errors`, `leaks` and `by_seed` are shares in [0, 1]; `failed` and `truncated`
    count questions over all seeds, and `failures` counts those that failed by reason and first
    message. Tokens are completion tokens a question. `difference`, its interval, `p` and
    `p_corrected` (Holm, over the whole grid) compare with the baseline on the same questions,
    `over_majority` and `p_over_majority` (Holm too) with the majority answer; None where there is
    nothing to compare.
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
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict, hash=False)
    truncated: int = 0
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    test: str = ""
    over_majority: float | None = None
    p_over_majority: float | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """The whole grid, and for each row the matrix of right answers (seeds, questions)."""

    rows: tuple[ScoreRow, ...]
    baseline: str
    question_ids: dict[tuple[str, str], tuple[str, ...]]
    correct: tuple[Any, ...] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return what `scores.json` holds."""
        return {
            "baseline": self.baseline,
            "intervals": "95 %: Wilson for one seed, two-way clustered t for several",
            "correction": "Holm over all comparisons with the baseline, and with the majority",
            "rows": [row.to_json() for row in self.rows],
        }

    def by_group(self, row: int, groups: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return accuracies of one row by group; `groups` maps question ids to keys (`slices`)."""
        one = self.rows[row]
        keys = [groups[id] for id in self.question_ids[one.task, one.split]]
        found = statistics.accuracy_by(keys, self.correct[row])
        return [{"group": group, **figures} for group, figures in found.items()]


def score_grid(cells: Sequence[ScoredCell], baseline: str = "answer_only") -> Scores:
    """Return the rows of the grid, each compared with the method `baseline` and the majority.

    A row is compared with the baseline of the same task, split and student. Where a baseline was
    run with several strategies, the same strategy is compared, else the first.

    Raises:
        ValueError: rows of one task and split hold different questions, or a cell is there twice.
    """
    ids: dict[tuple[str, str], tuple[str, ...]] = {}
    grouped: dict[_Key, list[ScoredCell]] = {}
    for cell in cells:
        own = tuple(one.question_id for one in cell.scored)
        where = f"{cell.task} {cell.split}: {cell.method}"
        if set(own) != set(ids.setdefault((cell.task, cell.split), own)):
            wrong = f"has answers to {len(own)} questions that are not those of the other rows"
            remedy = "every row is scored on the same questions"
            raise ValueError(f"{where} (seed {cell.seed}) {wrong}; {remedy}")
        group = grouped.setdefault(cell.row, [])
        if any(other.seed == cell.seed for other in group):
            raise ValueError(f"{where} seed {cell.seed} stands twice in the grid")
        group.append(cell)
    correct = {key: _correct(group, ids[key[0], key[1]]) for key, group in grouped.items()}
    rows = [_row(group, correct[key]) for key, group in grouped.items()]
    for index, (found, p) in _comparisons(correct, baseline).items():
        ends: dict[str, Any] = {"difference_low": found.low, "difference_high": found.high}
        tested: dict[str, Any] = {"p": found.p, "p_corrected": p, "test": found.test}
        rows[index] = replace(rows[index], difference=found.difference, **ends, **tested)
    for index, (found, p) in _comparisons(correct, MAJORITY).items():
        rows[index] = replace(rows[index], over_majority=found.difference, p_over_majority=p)
    return Scores(tuple(rows), baseline, ids, tuple(correct.values()))


def _correct(group: Sequence[ScoredCell], ids: Sequence[str]) -> Any:
    right = [{s.question_id: s.verdict is Verdict.CORRECT for s in cell.scored} for cell in group]
    return np.array([[one[id] for id in ids] for one in right], dtype=bool)


def _row(group: Sequence[ScoredCell], correct: Any) -> ScoreRow:
    first, n = group[0], correct.shape[1]
    low, high = statistics.accuracy_interval(correct) if n else (0.0, 1.0)
    scored = [one for cell in group for one in cell.scored]
    verdicts = Counter(one.verdict for one in scored)
    total = max(len(scored), 1)
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
        no_answer=verdicts[Verdict.NO_ANSWER] / total,
        errors=verdicts[Verdict.ERROR] / total,
        tokens=sum(one.completion_tokens for one in scored) / total,
        guide_tokens=sum(one.guide_tokens for one in scored) / total,
        leaks=sum(one.leaks for one in scored) / total,
        selection=first.selection,
        failed=sum(bool(one.failed) for one in scored),
        failures=_failures(scored),
        truncated=sum(one.truncated for one in scored),
    )


def _failures(scored: Iterable[Scored]) -> dict[str, int]:
    """Count failed questions by reason; the key has the first message of each reason too."""
    reasons: dict[str, list[str]] = {}
    for one in scored:
        if one.failed:
            reasons.setdefault(one.failed, []).append(one.note)
    return {f"{reason}: {notes[0]}": len(notes) for reason, notes in reasons.items()}


Comparisons = dict[int, tuple[statistics.Comparison, float]]


def _comparisons(correct: Mapping[_Key, Any], baseline: str) -> Comparisons:
    """Compare each row that has a baseline, by index, with p corrected for all of them."""
    found: dict[int, statistics.Comparison] = {}
    for index, key in enumerate(correct):
        base = _baseline(key, baseline, correct)
        if base is not None and base != key and key[3] != MAJORITY:
            found[index] = statistics.compare(correct[key], correct[base])
    corrected = statistics.holm([one.p for one in found.values()])
    return dict(zip(found, zip(found.values(), corrected, strict=True), strict=True))


def _baseline(key: _Key, method: str, rows: Iterable[_Key]) -> _Key | None:
    task, split, student, _, strategy = key
    same = [other for other in rows if other[:2] == (task, split) and other[3] == method]
    # A teacher has no student of its own: it is compared where there is one student to compare.
    if len({other[2] for other in same}) > 1:
        same = [other for other in same if other[2] == student]
    return next((other for other in same if other[4] == strategy), same[0] if same else None)


_OPERATIONS = {
    "+": "addition", "-": "subtraction", "*": "multiplication", "×": "multiplication",
    "x": "multiplication", "/": "division", "÷": "division",
}  # fmt: skip
# A sign between two numbers or brackets, so that neither a hyphen nor the letter x counts.
_OPERATION = re.compile(r"(?<=[\d)\s])\s*([-+*×x/÷])\s*(?=[\d($])")
_SENTENCE = re.compile(r"[.!?](?:\s|$)")  # no decimal point


def slices(questions: Iterable[Question]) -> dict[str, dict[str, Any]]:
    """Return groups of questions by id: gold steps, length (by twenty words), operations, option.

    Steps are counted in `steps`, or in the sentences of the gold rationale; a data set's own `meta`
    (steps, operation) comes first.
    """
    steps, lengths, operations, options = {}, {}, {}, {}
    for question in questions:
        sentences = len(_SENTENCE.findall(question.rationale))
        known = question.meta.get("steps") or len(question.steps)
        steps[question.id] = known or sentences or "unknown"
        words = len(question.text.split()) // 20 * 20
        lengths[question.id] = f"{words:03d}–{words + 19:03d} words"
        worked = " ".join([question.rationale, *(step.solution for step in question.steps)])
        found = sorted({_OPERATIONS[sign] for sign in _OPERATION.findall(worked)})
        operations[question.id] = question.meta.get("operation") or " and ".join(found) or "none"
        options[question.id] = question.answer if question.options else "none"
    return {"steps": steps, "length": lengths, "operation": operations, "option": options}
