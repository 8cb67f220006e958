import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType
from cotdistill.errors import DataError
from cotdistill.evaluation.grid import (
    MAJORITY,
    Scored,
    ScoredCell,
    ScoreRow,
    evaluate_answers,
    grade,
    majority_cell,
    score_grid,
    slices,
)
from cotdistill.records import Answer, Question, Step, Verdict

QUESTIONS = [Question(f"q{i}", "?", str(i)) for i in range(40)]


class Broken(AnswerType):
    def same(self, answer: str | None, gold: str | None) -> bool:
        raise RuntimeError("no antlr")


def answers(right: Sequence[bool | None]) -> list[Answer]:
    made = {True: lambda i: str(i), False: lambda i: str(i + 1), None: lambda i: None}
    return [
        Answer(f"q{i}", made[one](i), "text", completion_tokens=3) for i, one in enumerate(right)
    ]


def cell(right: Sequence[bool | None], method: str, seed: int = 0, **where: str) -> ScoredCell:
    scored = evaluate_answers(QUESTIONS[: len(right)], answers(right), Number())
    return ScoredCell("sums", method, "greedy", seed, scored, **where)


def test_no_answer_is_not_wrong_and_a_broken_grader_is_neither() -> None:
    question = Question("q", "?", "4")
    assert grade(Number(), question, Answer("q", "4.0", "")) is Verdict.CORRECT
    assert grade(Number(), question, Answer("q", "5", "")) is Verdict.WRONG
    assert grade(Number(), question, Answer("q", None, "")) is Verdict.NO_ANSWER
    assert grade(Broken(), question, Answer("q", "4", "")) is Verdict.ERROR


def test_too_many_errors_stop_the_stage() -> None:
    with pytest.raises(
        DataError, match=r"Broken failed on 40 of 40 answers \(first: q0: RuntimeError: no antlr\)"
    ):
        evaluate_answers(QUESTIONS, answers([True] * 40), Broken())
    scored = evaluate_answers(QUESTIONS, answers([True] * 40), Broken(), most_errors=1.0)
    assert {one.verdict for one in scored} == {Verdict.ERROR}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (answers([True]), "question q1 is not answered"),
        (answers([True] * 2) * 2, "answered twice"),
        (answers([True] * 3), "none of the questions"),
    ],
)
def test_answers_must_fit_the_questions(given: list[Answer], message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_answers(QUESTIONS[:2], given, Number())


def test_a_question_without_gold_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="q has no gold answer"):
        grade(Number(), Question("q", "?"), Answer("q", "1", ""))


def test_guides_that_give_the_answer_away_are_counted() -> None:
    leaks = ({"role": "guide", "text": "so 3", "leaks": True}, {"role": "student", "text": "--> 3"})
    given = [
        replace(one, trace=leaks if one.question_id < "q2" else (), guide_tokens=2)
        for one in answers([True] * 4)
    ]
    scored = evaluate_answers(QUESTIONS[:4], given, Number())
    (row,) = score_grid([ScoredCell("sums", "few_shot", "first_step", 0, scored)]).rows
    assert (row.guide_tokens, row.leaks) == (2, 0.5)


def test_grid_compares_with_the_baseline_on_the_same_questions() -> None:
    base = [i % 4 == 0 for i in range(40)]
    better = [i % 4 != 1 for i in range(40)]
    cells = [cell(base, "answer_only", seed) for seed in range(3)] + [
        cell(better, "fine_tune_cot", seed) for seed in range(3)
    ]
    scores = score_grid([*cells, cell([True] * 39 + [None], "teacher")])
    rows = {row.method: row for row in scores.rows}
    assert rows["answer_only"].accuracy == 0.25 and rows["answer_only"].p is None
    assert rows["fine_tune_cot"].difference == pytest.approx(0.5)
    assert rows["fine_tune_cot"].seeds == (0, 1, 2) and rows["fine_tune_cot"].n == 40
    assert rows["fine_tune_cot"].p is not None and rows["fine_tune_cot"].p < 0.001
    assert rows["teacher"].no_answer == 1 / 40 and rows["teacher"].tokens == 3
    assert rows["teacher"].p_corrected is not None and rows["teacher"].p is not None
    assert rows["teacher"].p_corrected >= rows["teacher"].p
    assert json.loads(json.dumps(scores.to_json()))["rows"][0]["method"] == "answer_only"


def test_rows_on_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="every row is scored on the same questions"):
        score_grid([cell([True] * 4, "answer_only"), cell([True] * 5, "teacher")])
    with pytest.raises(ValueError, match="stands twice"):
        score_grid([cell([True] * 4, "answer_only"), cell([True] * 4, "answer_only")])


def test_a_student_is_compared_with_its_own_baseline() -> None:
    cells = [cell([i % 2 == s for i in range(40)], "answer_only", student=f"s{s}") for s in (0, 1)]
    scores = score_grid(
        [
            *cells,
            cell([i % 2 == 1 for i in range(40)], "tslm", student="s1"),
            cell([True] * 40, "teacher"),
        ]
    )
    assert scores.rows[2].difference == 0.0
    assert scores.rows[3].difference is None


def test_oracle_selection_is_named() -> None:
    (row,) = score_grid([cell([True], "answer_only", selection="oracle_test")]).rows
    assert row.selection == "oracle_test"


def test_accuracy_by_steps_length_and_operation() -> None:
    questions = [
        Question(
            "a", "How many?", "3", rationale="1 + 2 = 3.", steps=(Step("", "1 + 2 = 3.", "3"),)
        ),
        Question(
            "b", "How many? " * 12, "2", rationale="4 / 2 = 2. Then 2 * 1 = 2.", meta={"steps": 2}
        ),
        Question("c", "How many?", "2"),
    ]
    groups = slices(questions)
    assert groups["steps"] == {"a": 1, "b": 2, "c": "unknown"}
    assert groups["operation"] == {"a": "addition", "b": "division and multiplication", "c": "none"}
    assert groups["length"] == {"a": "000–019 words", "b": "020–039 words", "c": "000–019 words"}
    verdicts = zip("abc", (Verdict.CORRECT, Verdict.WRONG, Verdict.CORRECT), strict=True)
    scored = [Scored(id, verdict, None) for id, verdict in verdicts]
    scores = score_grid([ScoredCell("sums", "tslm", "greedy", 0, scored)])
    short, long = scores.by_group(0, groups["length"])
    assert (short["group"], short["n"], short["accuracy"]) == ("000–019 words", 2, 1.0)
    assert (long["group"], long["accuracy"]) == ("020–039 words", 0.0)


def test_a_failed_question_stays_in_the_denominator_and_is_counted_by_reason() -> None:
    failed = [
        Answer("q0", None, "[failed: server error] HTTP 503: busy", ({"failed": "server error"},)),
        Answer("q1", None, "[failed: server error] HTTP 500: no", ({"failed": "server error"},)),
        Answer("q2", None, "[failed: refused] policy", ({"failed": "refused", "transient": True},)),
    ]
    given = [*failed, *answers([True] * 10)[3:]]
    scored = evaluate_answers(QUESTIONS[:10], given, Number())
    (row,) = score_grid([ScoredCell("sums", "tslm", "greedy", 0, scored)]).rows
    assert (row.n, row.accuracy, row.failed, row.no_answer) == (10, 0.7, 3, 0.3)
    assert row.failures == {"server error: HTTP 503: busy": 2, "refused: policy": 1}
    assert ScoreRow.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_a_reply_that_was_truncated_before_its_answer_is_counted() -> None:
    cut = ({"role": "student", "text": "so we", "truncated": True},)
    given = [Answer("q0", None, "so we", cut), Answer("q1", "1", "so 1", cut)]
    scored = evaluate_answers(QUESTIONS[:2], given, Number())
    assert [one.truncated for one in scored] == [True, False]


def test_the_majority_row_is_the_most_common_training_answer_and_every_row_is_compared() -> None:
    train = [Question("a", "?", "1"), Question("b", "?", "2"), Question("c", "?", "2")]
    questions = [Question(f"q{i}", "?", "2.0" if i % 4 == 0 else "9") for i in range(40)]
    where = {"task": "sums", "split": "test", "seed": 3}
    majority = majority_cell(train, questions, Number(), **where)
    right = [Answer(one.id, one.answer, "") for one in questions]
    student = ScoredCell("sums", "tslm", "greedy", 3, evaluate_answers(questions, right, Number()))
    base = ScoredCell("sums", "answer_only", "greedy", 3, majority.scored)
    rows = {row.method: row for row in score_grid([base, student, majority]).rows}
    assert rows[MAJORITY].accuracy == 0.25 and rows[MAJORITY].over_majority is None
    assert rows["tslm"].over_majority == 0.75 and rows["tslm"].p_over_majority < 1e-6
    assert rows["answer_only"].p_over_majority == 1.0
    # The majority adds no comparison to those with the baseline.
    assert rows[MAJORITY].p is None and rows["tslm"].p_corrected == rows["tslm"].p


def test_without_gold_in_training_the_majority_answers_nothing() -> None:
    cell = majority_cell([], QUESTIONS[:3], Number(), task="sums", split="test", seed=0)
    assert {one.verdict for one in cell.scored} == {Verdict.NO_ANSWER}
