"""Scores any file of completions: our own rules, or a published evaluator's, or both side by side.

A row is a question with its reply, or several, and gold, in any form that `data.fields` reads;
where the teacher was called twice, `answer_completion` is the reply to the second call. Other names
are mapped by `columns`. Options of a choice are taken from a field or out of the question's text;
nothing else needs the question. One row of a file:

    {"question": "... Answer Choices: (A) pond (B) forest", "completion": "... B.",
     "gold": "B"}
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from cotdistill import plugins
from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType, Task
from cotdistill.data.fields import (
    ALIASES,
    gold_of,
    missing,
    optional,
    question_of,
    text_of,
    texts_of,
)
from cotdistill.data.options import options_of
from cotdistill.data.rows import Row, rows
from cotdistill.errors import DataError, PluginError
from cotdistill.evaluation.compat import (
    HO_PREFIXES,
    TASKS,
    PublishedEvaluator,
    PublishedRules,
    family,
)
from cotdistill.evaluation.grid import grade
from cotdistill.evaluation.statistics import wilson
from cotdistill.prompting.base import ANSWER_SENTENCE
from cotdistill.records import Answer, Question, Verdict
from cotdistill.text.options import letter_of, split_options

FIELDS = ("question", "completion", "answer_completion", "gold", "options", "index")


@dataclass(frozen=True, slots=True)
class Score:
    """The reading and verdict of one set of rules."""

    prediction: str | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ScoredCompletion:
    """One completion and what each set of rules makes of it."""

    index: Any
    gold: str
    reply: str
    scores: Mapping[str, Score]

    def differ(self, one: str, other: str) -> bool:
        """Return whether two sets of rules read different answers, or one reads none."""
        first, second = self.scores[one], self.scores[other]
        if first.verdict is not second.verdict:
            return True
        if not (first.prediction and second.prediction):
            return bool(first.prediction or second.prediction)
        return first.prediction != second.prediction and not any(
            plugins.build("answers", name, AnswerType).same(first.prediction, second.prediction)
            for name in ("number", "choice", "yes_no", "text")
        )

    def to_json(self) -> dict[str, Any]:
        scores = {
            name: {"prediction": score.prediction, "verdict": score.verdict}
            for name, score in self.scores.items()
        }
        return {"index": self.index, "gold": self.gold, "reply": self.reply, **scores}


def type_of_task(name: str) -> tuple[str, AnswerType]:
    """Return name and answer type of a task (or of an answer type, for data that no task stands
    for)."""
    known = plugins.names("tasks")
    chosen = "coin_flip_benchmark" if name == "coin_flip" else name
    chosen = chosen if chosen in known else TASKS.get(chosen, chosen)
    if chosen in known and chosen != "custom":
        answer_type = plugins.build("tasks", chosen, Task).answer_type
        return type(answer_type).__module__.rpartition(".")[2], answer_type
    if name in plugins.names("answers"):
        return name, plugins.build("answers", name, AnswerType)
    plugins.find("tasks", chosen)
    raise PluginError(
        f"--task {name}: give a published task, or an answer type: "
        f"{', '.join(plugins.names('answers'))}"
    )


def score_rows(
    path: str | Path,
    task: str,
    rules: Iterable[str] = ("ours",),
    columns: Mapping[str, str] | None = None,
    template: str | None = None,
    markers: tuple[str, ...] = (),
    answer_index: Literal[0, 1, "text"] | None = None,
) -> Iterator[ScoredCompletion]:
    """Score every completion of a file under each of the rules: "ours", "kojima2022", "ho2023".

    Args:
        template: Ho et al.'s name of the prediction template ("ft_cot_token", "zs_cot", ...).
        markers: what our rules take as answer markers instead of the usual ones.
        answer_index: what a number as the gold of a choice counts from; "text": an option's text.

    Raises:
        DataError: a row is malformed, or lacks a field; the message names the line.
    """
    columns = columns or {}
    if wrong := [name for name in columns if name not in FIELDS]:
        raise DataError(
            f"columns: {wrong[0]!r} is no field of a completion; map {', '.join(FIELDS)}"
        )
    if template is not None and template not in HO_PREFIXES:
        raise DataError(f"template: no {template!r}; one of {', '.join(HO_PREFIXES)}")
    name, answer_type = type_of_task(task)
    evaluators: dict[str, PublishedEvaluator | None] = {}
    for rule in rules:
        if rule not in ("ours", *get_args(PublishedRules)):
            raise DataError(f"rules: no {rule!r}; there are ours, kojima2022, ho2023")
        published = PublishedEvaluator(cast(PublishedRules, rule), task, family(name), template)
        evaluators[rule] = None if rule == "ours" else published
    for number, row in enumerate(rows(path)):
        gold = text_of(row, _names("gold", columns), "gold answer")
        options = _options(row, columns, isinstance(answer_type, Choice))
        labels = options_of(row, columns.get("options", ""))[1] if options else ()
        question = Question(str(number), "", gold, options)
        if "ours" in evaluators and options:
            letter = letter_of(gold, options, row.place, labels, index=answer_index)
            question = Question(str(number), "", letter, options)
        elif "ours" in evaluators:
            question = Question(str(number), "", gold_of(gold, answer_type, row.place).canonical)
        given = (row.fields.get(name) for name in _names("index", columns))
        index = next((one for one in given if not missing(one)), number)
        second = optional(row, (columns.get("answer_completion", "answer_completion"),), "reply")
        for text in texts_of(row, columns.get("completion", "")):
            scores = {
                rule: _ours(text, second, question, answer_type, markers)
                if evaluator is None
                else _published(text, second or None, gold, evaluator)
                for rule, evaluator in evaluators.items()
            }
            yield ScoredCompletion(index, gold, second or text, scores)


def _names(field: str, columns: Mapping[str, str]) -> tuple[str, ...]:
    return (columns[field],) if field in columns else ALIASES[field]


def _ours(
    text: str, second: str, question: Question, answer_type: AnswerType, markers: tuple[str, ...]
) -> Score:
    """Read the reply to the second call where there is one: it goes on from the words that asked
    for it."""
    read = f"{ANSWER_SENTENCE} {second}" if second else text
    answer = answer_type.extract(read, options=question.options, markers=markers)
    return Score(answer, grade(answer_type, question, Answer(question.id, answer, text)))


def _published(text: str, second: str | None, gold: str, evaluator: PublishedEvaluator) -> Score:
    prediction = evaluator.predict(text, second)
    wrong = Verdict.WRONG if prediction else Verdict.NO_ANSWER
    return Score(prediction, Verdict.CORRECT if evaluator.correct(prediction, gold) else wrong)


def _options(row: Row, columns: Mapping[str, str], wanted: bool) -> tuple[str, ...]:
    options = options_of(row, columns.get("options", ""))[0] if wanted else ()
    if options or not wanted:
        return options
    return split_options(question_of(row, columns.get("question", "")))[1]


def summary(items: Iterable[ScoredCompletion], rules: str) -> dict[str, Any]:
    """Return counts and accuracy under one set of rules; NO_ANSWER stays in the denominator.
    Wilson's interval, 95 %."""
    counts = dict.fromkeys(Verdict, 0)
    for item in items:
        counts[item.scores[rules].verdict] += 1
    n = sum(counts.values())
    if not n:
        raise DataError("the file holds no completions; give one JSON object a line")
    correct, empty = counts[Verdict.CORRECT], counts[Verdict.NO_ANSWER]
    low, high = wilson(correct, n)
    found = {"n": n, "correct": correct, "accuracy": correct / n, "no_answer": empty}
    return found | {"errors": counts[Verdict.ERROR], "low": low, "high": high, "rules": rules}
