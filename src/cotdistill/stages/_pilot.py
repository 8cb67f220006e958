"""Pilot: the first questions are annotated and curated before the rest is paid for.

Three findings stop the run, each with examples and a remedy: many replies were cut at the length
limit; answers of most rationales cannot be read in the task's type; next to nothing is kept. The
completions are the run's own, so that nothing is asked twice and no file changes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cotdistill.contracts import AnswerType, Filter
from cotdistill.errors import UserError
from cotdistill.records import NO_ANSWER, Question, Rationale
from cotdistill.stages.curate import Candidate, filtered
from cotdistill.util.terminal import shortened

MANY_CUT = 1 / 3
"""Share of the rationales cut at the length limit that stops the run."""
MOST_UNREAD = 1 / 2
"""Share of the rationales without a readable answer that stops it."""
FEW_KEPT, FEW_QUESTIONS = 1 / 20, 1 / 4
"""Shares of rationales kept, and of questions that keep one, below both of which it stops: of
twenty single rationales none. Repeated rationales of a question are no reason to stop."""
ENOUGH = 10
"""Rationales needed for a judgement: where fewer came, requests failed, and that is counted."""

_GO_ON = "`pilot: 0` in the recipe goes on regardless"


class PilotError(UserError):
    """The first rationales show that the rest would be paid for in vain."""


@dataclass(frozen=True)
class Pilot:
    """The first `size` questions of one task and method, and what is kept of their rationales."""

    label: str
    size: int
    filters: Sequence[tuple[str, Filter]]

    def judge(
        self, annotated: Sequence[tuple[Question, Sequence[Rationale]]], answer_type: AnswerType
    ) -> None:
        """Stop where the rationales of the first questions are worth next to nothing.

        Raises:
            PilotError: see the module; the message shows three examples and the remedy.
        """
        pairs = [(question, one) for question, several in annotated for one in several]
        if len(pairs) < ENOUGH:
            return
        first = f"{self.label}: of the first {len(pairs)} rationales ({self.size} questions)"
        cut = [pair for pair in pairs if pair[1].extra.get("truncated")]
        if len(cut) >= MANY_CUT * len(pairs):
            raise PilotError(
                f"{first} {len(cut)} were cut off at `max_tokens`; raise it in the method's "
                f"settings and run again; {_GO_ON}{shown_examples(cut)}"
            )
        unread = [pair for pair in pairs if pair[1].answer is NO_ANSWER]
        if len(unread) >= MOST_UNREAD * len(pairs):
            kind = type(answer_type).__name__
            raise PilotError(
                f"{first} {len(unread)} have no answer that can be read as the task's type "
                f"({kind}); correct the task's `answer` type, or the method's prompt; "
                f"{_GO_ON}{shown_examples(unread)}"
            )
        self._refuse_few_kept(first, pairs, len(annotated), answer_type)

    def _refuse_few_kept(
        self, first: str, pairs: Sequence[Candidate], questions: int, answer_type: AnswerType
    ) -> None:
        dropped: list[Candidate] = []
        reasons: Counter[str] = Counter()

        def drop(question: Question, rationale: Rationale, name: str, reason: str) -> None:
            dropped.append((question, rationale))
            reasons[f"{name}: {reason}"] += 1

        kept = [pair[0].id for pair in filtered(iter(pairs), self.filters, answer_type, drop)]
        if len(kept) >= FEW_KEPT * len(pairs) or len(set(kept)) >= FEW_QUESTIONS * questions:
            return
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        raise PilotError(
            f"{first} {len(kept) or 'none'} would be kept ({why}); nothing more was asked. Check "
            "the task's gold answers and `answer` type, the method's prompt and the filters; "
            f"{_GO_ON}{shown_examples(dropped)}"
        )


def shown_examples(pairs: Sequence[Candidate]) -> str:
    """Return up to three rationales with their question, a line or two each, safe to print."""
    return "".join(map(_example, _of_different_questions(pairs)))


def _of_different_questions(pairs: Sequence[Candidate]) -> list[Candidate]:
    return list({pair[0].id: pair for pair in reversed(pairs)}.values())[::-1][:3]


def _example(pair: Candidate) -> str:
    question, rationale = pair
    cut = ", cut off" if rationale.extra.get("truncated") else ""
    answer = "none" if rationale.answer is NO_ANSWER else shortened(rationale.answer, 60)
    return (
        f"\n  question {shortened(question.id, 60)}: {shortened(question.text, 160)}"
        f"\n    rationale{cut}: {shortened(rationale.text, 240)}"
        f"\n    answer read: {answer}; gold: {shortened(str(question.answer), 60)}"
    )
