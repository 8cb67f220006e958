"""Requests that a run would send, found out by its own code: methods and strategies are called with
an `Ask` that sends nothing.

Every request is noted. Where the completion log has its completions they are returned; elsewhere a
stand-in answers: the target that a trained role would have learnt for this very prompt, or the
question's own rationale with its gold answer. So the requests that follow from a reply are found
too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cotdistill.contracts import AnswerType, Ask, Method, Strategy
from cotdistill.errors import CotdistillError, QuestionFailed, UserError
from cotdistill.recipe import Recipe
from cotdistill.records import Answer, Completion, Example, Prompt, Question, Rationale, Request

_Result = TypeVar("_Result")

SHORT_REPLY = 48
"""`max_tokens` up to which a reply is an answer without a rationale."""

Found = Callable[[str, Request, Sequence[int]], Mapping[int, Completion]]
"""What the log has of a role's request, by sample index."""
Reply = Callable[[str, Request, int], Completion]
"""A stand-in for one completion of a role's request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the completions the log has, and the stand-ins for those to be asked."""

    role: str
    request: Request
    found: Mapping[int, Completion]
    missing: Mapping[int, Completion]


def _nothing(role: str, request: Request, wanted: Sequence[int]) -> Mapping[int, Completion]:
    return {}


@dataclass
class RehearsedAsk:
    """An `Ask` that sends nothing; `asked` are all requests so far, in order."""

    roles: Collection[str]
    reply: Reply
    found: Found = _nothing
    asked: list[Asked] = field(default_factory=list)

    async def __call__(
        self,
        prompt: Prompt,
        *,
        role: str = "teacher",
        samples: int = 1,
        first_sample: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        prefill: str = "",
    ) -> list[Completion]:
        """See `contracts.Ask`."""
        if role not in self.roles:
            has = f"there are {', '.join(sorted(self.roles))}"
            remedy = "name a teacher entry as `guide` in the recipe" if role == "guide" else has
            raise UserError(f"no model for the role {role!r}; {remedy}")
        request = Request(prompt, temperature, top_p, max_tokens, tuple(stop), prefill)
        wanted = range(first_sample, first_sample + samples)
        found = self.found(role, request, wanted)
        missing = {i: self.reply(role, request, i) for i in wanted if i not in found}
        self.asked.append(Asked(role, request, found, missing))
        return [found.get(index) or missing[index] for index in wanted]


async def rehearsed(work: Awaitable[_Result]) -> _Result | None:
    """Return the result of a rehearsal; None where a method cannot use the words of a stand-in.

    Raises:
        CotdistillError: something is missing in the data or the recipe.
    """
    try:
        return await work
    except QuestionFailed:
        return None
    except CotdistillError:
        raise
    except Exception:  # noqa: BLE001  it may still read a real teacher's words
        return None


def roles_of(recipe: Recipe, method: Method) -> set[str]:
    """Return the roles that a method of a recipe may ask."""
    trained = {role for roles in method.rounds for role in roles}
    return {"teacher", "base", *trained, *(["guide"] if recipe.guide else [])}


def gold_reply(question: Question, text: str | None = None) -> Reply:
    """Return stand-ins that reach the gold answer of a question, by its own rationale or `text`."""
    gold = question.gold if question.answer is not None else "unknown"
    steps = "\n".join(f"{step.question} ** {step.solution}" for step in question.steps)
    body = text or steps or question.rationale or "It follows from what is given."

    def reply(role: str, request: Request, index: int) -> Completion:
        short = request.max_tokens <= SHORT_REPLY
        # No two samples of a question say quite the same, so that what follows is asked for each.
        sample = f" ({index + 1})" if index else ""
        said = f" {gold}." if short else f" {body}{sample}\n#### {gold}\nThe answer is {gold}."
        begun = "" if said.startswith(request.prefill) else request.prefill
        ends = [at for stop in request.stop if (at := said.find(stop)) > 0]
        return Completion(begun + said[: min(ends, default=None)], index)

    return reply


def learnt_reply(examples: Sequence[Example], otherwise: Reply) -> Reply:
    """Return stand-ins for trained roles: what their examples teach for the very prompt."""
    targets = {(one.role, one.prompt): one.target for one in examples}

    def reply(role: str, request: Request, index: int) -> Completion:
        target = targets.get((role, str(request.prompt)))
        return Completion(target, index) if target is not None else otherwise(role, request, index)

    return reply


async def rehearse_training(
    method: Method, question: Question, ask: RehearsedAsk, answer_type: AnswerType
) -> tuple[list[Rationale], list[Example]]:
    """Take a training question through annotation and all rounds; return its last candidates and
    what those of all rounds would teach."""
    rationales = await method.annotate(question, ask, answer_type)
    examples = _taught(method, question, rationales)
    for round in range(1, len(method.rounds)):
        ask.reply = learnt_reply(examples, ask.reply)
        rationales = await method.revise(question, rationales, ask, answer_type, round)
        examples += _taught(method, question, rationales)
    return rationales, examples


def _taught(method: Method, question: Question, kept: Sequence[Rationale]) -> list[Example]:
    """Return what is learnt; a stand-in's words are no answer to a question that has none."""
    told = [one for one in kept if question.answer or one.answer or one.source == "none"]
    return [one for kind in told for one in method.examples(question.learnt_from(kind), kind)]


async def rehearse_answer(
    method: Method,
    strategy: Strategy,
    question: Question,
    ask: RehearsedAsk,
    answer_type: AnswerType,
) -> Answer:
    """Answer a question with what a method's trained roles would have learnt from its own gold."""
    if method.rounds:
        rehearsed = RehearsedAsk(ask.roles, ask.reply)
        _, examples = await rehearse_training(method, question, rehearsed, answer_type)
        ask.reply = learnt_reply(examples, ask.reply)

    async def solve(question: Question, ask: Ask) -> Answer:
        return await method.solve(question, ask, answer_type)

    return await strategy.run(solve, question, ask, answer_type)
