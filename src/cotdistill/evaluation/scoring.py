"""Scores any file of completions: our own rules, or a published evaluator's, or both side by side.

A row has `question`, `completion`, `gold`, and where the teacher was called twice, `answer_completion`, the reply to the
second call; other names are mapped by `columns`. `completion` is the whole text. Options of a choice are taken from `options`
or out of the question's text; nothing else needs the question. One row of a file:

    {"question": "... Answer Choices: (A) pond (B) forest", "completion": "... the answer is B.", "answer_completion": " B.", "gold": "B"}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill import plugins
from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType, Task
from cotdistill.data.rows import Row, pick, rows, text_of
from cotdistill.errors import DataError, PluginError
from cotdistill.evaluation.compat import HO_PREFIXES, CompatName, PublishedEvaluator, family
from cotdistill.evaluation.grid import grade
from cotdistill.evaluation.statistics import wilson
from cotdistill.prompting.parts import ANSWER_SENTENCE
from cotdistill.records import Answer, Question, Verdict
from cotdistill.text.options import letter_of, split_options

__all__ = ["Item", "Score", "kind_of_task", "score_rows", "summary"]

FIELDS = ("question", "completion", "answer_completion", "gold", "options", "index")
_ALIASES = {
    "last_letters": "last_letter_concatenation",
    "coin_flip": "coin_flip_benchmark",
    "singleeq": "single_eq",
}
_RULES = ("ours", "kojima2022", "ho2023")


@dataclass(frozen=True, slots=True)
class Score:
    """What one set of rules makes of one item."""

    prediction: str | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Item:
    """One row and what each set of rules makes of it."""

    index: Any
    gold: str
    reply: str
    scores: Mapping[str, Score]

    def differ(self, one: str, other: str) -> bool:
        """Whether two sets of rules read different answers, or one reads none."""
        return self.scores[one].verdict is not self.scores[other].verdict or not _alike(
            self.scores[one], self.scores[other]
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "gold": self.gold,
            "reply": self.reply,
            **{
                name: {"prediction": score.prediction, "verdict": score.verdict}
                for name, score in self.scores.items()
            },
        }


def _alike(one: Score, other: Score) -> bool:
    if not one.prediction or not other.prediction:
        return bool(one.prediction) == bool(other.prediction)
    return one.prediction == other.prediction or any(
        plugins.build("answers", kind, AnswerType).same(one.prediction, other.prediction)  # type: ignore[type-abstract, unused-ignore]
        for kind in ("number", "choice", "yes_no", "text")
    )


def kind_of_task(name: str) -> tuple[str, AnswerType]:
    """Name and answer kind of a task (or of an answer kind, for data that no task stands for), without its data."""
    known = plugins.names("tasks")
    chosen = name if name in known and name != "coin_flip" else _ALIASES.get(name, name)
    if chosen in known and chosen != "custom":
        kind = plugins.build("tasks", chosen, Task).answer_type  # type: ignore[type-abstract, unused-ignore]
        return type(kind).__module__.rpartition(".")[2], kind
    if name in plugins.names("answers"):
        return name, plugins.build("answers", name, AnswerType)  # type: ignore[type-abstract, unused-ignore]
    plugins.find("tasks", chosen)
    raise PluginError(
        f"--task {name}: give a published task, or a kind of answer: {', '.join(plugins.names('answers'))}"
    )


def score_rows(
    path: Path,
    task: str,
    rules: Iterable[str] = ("ours",),
    columns: Mapping[str, str] | None = None,
    template: str | None = None,
    markers: tuple[str, ...] = (),
) -> Iterator[Item]:
    """Score every row of a file under each of the rules: "ours", "kojima2022", "ho2023".

    Args:
        template: Ho et al.'s name of the prediction template ("ft_cot_token", "zs_cot", ...).
        markers: what our rules take as answer markers instead of the usual ones.

    Raises:
        DataError: a row is malformed, or lacks a field; the message names the line.
    """
    columns = columns or {}
    for name in columns:
        if name not in FIELDS:
            raise DataError(
                f"columns: {name!r} is no field of a completion; map {', '.join(FIELDS)}"
            )
    if template is not None and template not in HO_PREFIXES:
        raise DataError(f"template: no {template!r}; one of {', '.join(HO_PREFIXES)}")
    kind_name, kind = kind_of_task(task)
    evaluators: dict[str, PublishedEvaluator | None] = {}
    for name in rules:
        if name not in _RULES:
            raise DataError(f"rules: no {name!r}; there are {', '.join(_RULES)}")
        evaluators[name] = (
            None
            if name == "ours"
            else PublishedEvaluator(_compat(name), task, family(kind_name), template)
        )
    for index, row in enumerate(rows(path)):
        yield _item(row, index, kind, evaluators, columns, markers)


def _compat(name: str) -> CompatName:
    return "kojima2022" if name == "kojima2022" else "ho2023"


def _item(
    row: Row,
    index: int,
    answer_type: AnswerType,
    evaluators: Mapping[str, PublishedEvaluator | None],
    columns: Mapping[str, str],
    markers: tuple[str, ...],
) -> Item:
    completion = str(pick(row, (columns.get("completion", "completion"),), "completion"))
    second = row.fields.get(columns.get("answer_completion", "answer_completion"))
    second = None if second is None else str(second)
    gold = text_of(row, (columns.get("gold", "gold"), "answer"), "gold answer")
    options = _options(row, columns, isinstance(answer_type, Choice))
    scores = {}
    for name, evaluator in evaluators.items():
        if evaluator is None:
            answer = answer_type.extract(
                _read(completion, second), options=options, markers=markers
            )
            canonical = letter_of(gold, options, row.place) if options else gold
            question = Question(str(index), "", canonical, options)
            scores[name] = Score(
                answer, grade(answer_type, question, Answer(str(index), answer, completion))
            )
        else:
            prediction = evaluator.predict(completion, second)
            right = evaluator.correct(prediction, gold)
            wrong = Verdict.WRONG if prediction else Verdict.NO_ANSWER
            scores[name] = Score(prediction, Verdict.CORRECT if right else wrong)
    named = row.fields.get(columns.get("index", "index"), index)
    return Item(named, gold, completion if second is None else second, scores)


def _read(completion: str, second: str | None) -> str:
    """The text our rules read: the reply to the second call goes on from the words that asked for it."""
    return completion if second is None else f"{ANSWER_SENTENCE} {second}"


def _options(row: Row, columns: Mapping[str, str], wanted: bool) -> tuple[str, ...]:
    given = row.fields.get(columns.get("options", "options"))
    if isinstance(given, list | tuple):
        return tuple(str(option) for option in given)
    if not wanted:
        return ()
    return split_options(str(pick(row, (columns.get("question", "question"),), "question")))[1]


def summary(items: Iterable[Item], rules: str) -> dict[str, Any]:
    """Counts and accuracy under one set of rules; NO_ANSWER stays in the denominator. The interval is Wilson's, 95 %."""
    counts = dict.fromkeys(Verdict, 0)
    for item in items:
        counts[item.scores[rules].verdict] += 1
    n = sum(counts.values())
    if not n:
        raise DataError("the file holds no completions; give one JSON object a line")
    correct = counts[Verdict.CORRECT]
    low, high = wilson(correct, n)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "no_answer": counts[Verdict.NO_ANSWER],
        "errors": counts[Verdict.ERROR],
        "low": low,
        "high": high,
        "rules": rules,
    }
