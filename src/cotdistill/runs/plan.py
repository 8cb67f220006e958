"""Plan: what a run still has to ask of teacher and guide, question by question, and what it would
train and answer.

The requests are those of the stages' own code (`rehearsal`). What the completion log has costs
nothing. Where a question's requests are all in the log their real tokens are known; the ratio of
those to the tokens counted for the same questions with stand-ins corrects the count of the others.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cotdistill.contracts import MeteredModel, Model, Price, Usage
from cotdistill.errors import QuestionFailed
from cotdistill.model.completion_log import (
    CompletionLog,
    canonical_json,
    request_json,
    request_key,
)
from cotdistill.records import REFUSED, Completion, Example, Prompt, Question, Request
from cotdistill.runs.rehearsal import Asked, RehearsedAsk, Reply, gold_reply, rehearsed

CHARACTERS_PER_TOKEN = 4.0
"""Characters of English to a token where neither tokenizer nor replies are known."""
_ASSUMED_SHARE = 0.5
"""Share of `max_tokens` that a reply is assumed to use before any was seen."""
_CALIBRATED = 50
"""Questions whose real tokens correct the count of the others, at most."""
_SEEN = 4_000
"""Replies of the log that are looked at for their lengths."""
_END = 12
"""Characters of a prompt's end that tell calls of one template from others."""

Kind = tuple[Any, ...]


def _kinds(request: Request) -> tuple[Kind, ...]:
    """Return what tells a kind of call from others, from the closest look to the widest."""
    limits = (request.max_tokens, request.stop)
    return ((*limits, text_of(request.prompt)[-_END:]), limits, ())


def text_of(prompt: Prompt) -> str:
    """Return a prompt's text without the marks of a chat."""
    return prompt if isinstance(prompt, str) else "\n".join(one.content for one in prompt)


@dataclass
class Mean:
    """A mean that grows."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total, self.count = self.total + value, self.count + 1

    @property
    def value(self) -> float:
        return self.total / self.count


class PaidRole:
    """Knowledge of a model that is asked through the log: price, tokens, speed.

    `identity` is None for a model that is not opened: then nothing of it is taken for logged.
    """

    def __init__(
        self,
        log: CompletionLog,
        model: Model | None,
        *,
        role: str,
        per_call: int = 1,
        count: Callable[[str], int] | None = None,
    ) -> None:
        self._log, self._role, self.per_call, self._count = log, role, per_call, count
        self._model = model if isinstance(model, MeteredModel) else None
        self.identity = canonical_json(dict(model.identity())) if model is not None else None
        self.price: Price | None = self._model.price if self._model is not None else None
        self.planned: set[tuple[str, int]] = set()
        self._tokens: dict[Kind, Mean] = {}
        self._characters: dict[Kind, Mean] = {}
        self._slope, self._offset = 1 / CHARACTERS_PER_TOKEN, 0.0
        self._look_back()
        sums = log.read_counts()
        calls, seconds = sums[role, "calls"], sums[role, "seconds"]
        self.call_seconds = seconds / calls if calls and seconds else None
        """Seconds of a call, from being sent to its reply; None before one was answered."""
        self.tokens_per_second = sums[role, "completion_tokens"] / seconds if seconds else None
        """Tokens a second of a model of one's own, while it was at work."""

    def sources(self) -> list[str]:
        """Return how prices, tokens and speed are known."""
        replies = f"the mean of {self.seen:,} replies of the log"
        assumed = f"{100 * _ASSUMED_SHARE:.0f} % of `max_tokens` (no reply yet; --probe asks 20)"
        known = "as in the log" if self.seen else "assumed"
        fitted = f"{1 / self._slope:.1f} characters a token, {known}"
        prompt = fitted if self._count is None else "its own tokenizer"
        price = self.price
        cost = f"${price.input:g} and ${price.output:g} a million" if price else "not known"
        return [
            f"{self._role}, price of tokens in and out: {cost}",
            f"{self._role}, tokens of prompts: {prompt}; of replies: "
            f"{replies if self.seen else assumed}",
        ]

    def _look_back(self) -> None:
        """Learn lengths of prompts and replies from the log."""
        rows = self._log.sample(self.identity, _SEEN) if self.identity is not None else []
        pairs: list[tuple[int, int]] = []
        for text, prompt_tokens, reply_tokens, characters, _ in rows:
            request = Request.from_json(json.loads(text))
            for kind in _kinds(request):
                self._tokens.setdefault(kind, Mean()).add(reply_tokens)
                self._characters.setdefault(kind, Mean()).add(characters)
            if prompt_tokens:
                pairs.append((len(text_of(request.prompt)), prompt_tokens))
        if pairs:
            self._count = None
            self._slope, self._offset = _line(pairs)
        self.seen = len(rows)

    def found(self, request: Request, wanted: Sequence[int]) -> dict[int, Completion]:
        """Return the logged completions of a request as methods see them.

        Raises:
            QuestionFailed: the endpoint refused the request.
        """
        if self.identity is None:
            return {}
        key = request_key(self.identity, request_json(request))
        there = self._log.get(key, wanted[0], len(wanted))
        if len(there) == len(wanted) and all(c.finish_reason == REFUSED for c in there.values()):
            raise QuestionFailed(there[wanted[0]].text, "refused by the endpoint")
        model = self._model
        return {i: model.present(c) if model is not None else c for i, c in there.items()}

    def prompt_tokens(self, prompt: Prompt) -> float:
        """Return a prompt's tokens: as its tokenizer, or else as prompts of the log had them."""
        text = text_of(prompt)
        if self._count is not None:
            return self._count(text)
        return self._offset + self._slope * len(text)

    def reply_tokens(self, request: Request) -> float:
        """Return the tokens of a reply: the mean of such replies, or an assumed share."""
        known = (self._tokens[kind] for kind in _kinds(request) if kind in self._tokens)
        mean = next(known, None)
        return mean.value if mean is not None else _ASSUMED_SHARE * request.max_tokens

    def dollars(self, prompt_tokens: float, reply_tokens: float) -> float:
        """Return the price of so many tokens, 0 where none is known."""
        million, price = 1_000_000, self.price or Price(0.0, 0.0)
        asked, written = price.cost(Usage(million, 0)), price.cost(Usage(0, million))
        return (asked * prompt_tokens + written * reply_tokens) / million

    def reply_characters(self, request: Request) -> int:
        """Return the characters of a reply."""
        known = (self._characters[kind] for kind in _kinds(request) if kind in self._characters)
        mean = next(known, None)
        assumed = CHARACTERS_PER_TOKEN * _ASSUMED_SHARE * request.max_tokens
        return round(mean.value if mean is not None else assumed)


def _line(pairs: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Return slope and offset of the least-squares line through (characters, tokens)."""
    n = len(pairs)
    mean_x, mean_y = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    spread = sum((x - mean_x) ** 2 for x, _ in pairs)
    if spread < n:  # prompts of one length
        return mean_y / max(mean_x, 1), 0.0
    slope = sum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread
    return slope, mean_y - slope * mean_x


@dataclass
class Need:
    """Sums over requests: completions, calls for them, tokens, dollars, characters of all texts and
    of the replies alone (`written`)."""

    completions: float = 0.0
    calls: float = 0.0
    prompt_tokens: float = 0.0
    reply_tokens: float = 0.0
    money: float = 0.0
    characters: float = 0.0
    written: float = 0.0

    def add(self, other: Need, times: float = 1.0) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + times * value)

    def scaled(self, ratio: Need) -> Need:
        """Return each sum times the ratio of its name."""
        return Need(**{name: value * vars(ratio)[name] for name, value in vars(self).items()})

    def over(self, other: Need) -> Need:
        """Return the ratio of each sum to the other's, 1 where that is 0."""
        pairs = {name: (value, vars(other)[name]) for name, value in vars(self).items()}
        return Need(**{name: a / b if b else 1.0 for name, (a, b) in pairs.items()})


def missing(asked: Iterable[Asked], roles: Mapping[str, PaidRole], *, alone: bool = False) -> Need:
    """Return what is to be paid for; a request that was planned before is not paid twice.

    `alone` counts as if nothing had been planned or logged, and plans nothing.
    """
    need = Need()
    for one in asked:
        role = roles.get(one.role)
        if role is None:
            continue
        indices = list(one.missing)
        if not alone:
            key = request_key(role.identity or "", request_json(one.request))
            indices = [index for index in indices if (key, index) not in role.planned]
            role.planned.update((key, index) for index in indices)
        calls = math.ceil(len(indices) / role.per_call)
        written = len(indices) * role.reply_characters(one.request)
        characters = len(text_of(one.request.prompt)) * bool(indices) + written
        tokens = calls * role.prompt_tokens(one.request.prompt)
        replies = len(indices) * role.reply_tokens(one.request)
        money = role.dollars(tokens, replies)
        need.add(Need(len(indices), calls, tokens, replies, money, characters, written))
    return need


def logged(asked: Iterable[Asked], roles: Mapping[str, PaidRole]) -> Need:
    """Return what requests that the log has did cost, each paid for once."""
    need, seen = Need(), set[tuple[str, Request, int]]()
    for one in asked:
        new = [index for index in one.found if (one.role, one.request, index) not in seen]
        seen.update((one.role, one.request, index) for index in new)
        found = [one.found[index] for index in new] if one.role in roles else []
        calls = sum(bool(c.prompt_tokens) for c in found)
        tokens = sum(c.prompt_tokens for c in found), sum(c.completion_tokens for c in found)
        money = roles[one.role].dollars(*tokens) if found else 0.0
        written = sum(len(c.text) + len(c.reasoning) for c in found)
        characters = written + len(text_of(one.request.prompt)) * bool(found)
        need.add(Need(len(found), calls, *tokens, money, characters, written))
    return need


Rehearse = Callable[[Question, RehearsedAsk], Any]
"""Takes a question through the stage's code with an ask; a coroutine function."""


@dataclass
class Planned:
    """Needs of one piece of work, over all its questions.

    `measured` of the questions looked at had all their replies in the log; `cached` is what those
    and others had there already. `results` are what the rehearsal returned, for questions looked
    at. `student` is what models of one's own are asked, with characters in place of tokens.
    """

    questions: int = 0
    looked_at: int = 0
    measured: int = 0
    need: Need = field(default_factory=Need)
    cached: Need = field(default_factory=Need)
    student: Need = field(default_factory=Need)
    results: list[tuple[Question, Any, bool]] = field(default_factory=list)
    unpriced: bool = False
    """Whether a model without a known price is asked."""


async def plan_work(
    questions: Iterable[Question],
    total: int,
    rehearse: Rehearse,
    known: set[str],
    roles: Mapping[str, PaidRole],
    most: int,
) -> Planned:
    """Plan what is asked for some questions, looking at `most` of them, evenly spread."""
    planned, real, counted = Planned(total), Need(), Need()
    step = max(1, math.ceil(total / most))
    open_need = Need()
    for question in itertools.islice(questions, 0, None, step):
        planned.looked_at += 1
        ask = RehearsedAsk(known, _stand_in(question, roles), _found(roles))
        result = await rehearsed(rehearse(question, ask))
        need, there = missing(ask.asked, roles), logged(ask.asked, roles)
        asked = {one.role for one in ask.asked} & roles.keys()
        planned.unpriced |= any(roles[role].price is None for role in asked)
        complete = there.completions > 0 and all(
            not one.missing for one in ask.asked if one.role in roles
        )
        planned.results.append((question, result, complete))
        planned.cached.add(there)
        open_need.add(need)
        _count_student(planned.student, ask.asked, roles)
        if complete:
            planned.measured += 1
            if planned.measured <= _CALIBRATED:
                real.add(there)
                counted.add(await _counted_alone(question, rehearse, known, roles))
    times = total / max(1, planned.looked_at)
    ratio = real.over(counted)
    planned.need.add(open_need.scaled(ratio), times)
    planned.cached, whole = Need(), planned.cached
    planned.cached.add(whole, times)
    planned.student, whole = Need(), planned.student
    planned.student.add(whole, times)
    return planned


async def _counted_alone(
    question: Question, rehearse: Rehearse, known: set[str], roles: Mapping[str, PaidRole]
) -> Need:
    ask = RehearsedAsk(known, _stand_in(question, roles))
    with contextlib.suppress(Exception):  # it was heard where the question was looked at
        await rehearse(question, ask)
    return missing(ask.asked, roles, alone=True)


def _count_student(need: Need, asked: Iterable[Asked], roles: Mapping[str, PaidRole]) -> None:
    for one in asked:
        if one.role not in roles:
            replies = float(sum(len(c.text) for c in one.missing.values()))
            if one.role == "base":  # untrained, it goes on to the limit
                replies = CHARACTERS_PER_TOKEN * one.request.max_tokens * len(one.missing)
            prompts = len(text_of(one.request.prompt)) * len(one.missing)
            letters = prompts + replies
            need.add(Need(len(one.missing), 1, prompts, replies, 0.0, letters, replies))


def _found(roles: Mapping[str, PaidRole]) -> Callable[..., Mapping[int, Completion]]:
    def found(role: str, request: Request, wanted: Sequence[int]) -> Mapping[int, Completion]:
        return roles[role].found(request, wanted) if role in roles else {}

    return found


def _stand_in(question: Question, roles: Mapping[str, PaidRole]) -> Reply:
    """Return stand-ins as long as such replies are: what follows a reply repeats it."""
    plain = gold_reply(question)

    def reply(role: str, request: Request, index: int) -> Completion:
        if role not in roles or question.steps:
            return plain(role, request, index)
        length = roles[role].reply_characters(request)
        filler = " ".join(["so"] * (length // 3))
        return gold_reply(question, filler)(role, request, index)

    return reply


def examples_of(planned: Planned) -> Iterator[Example]:
    """Yield what the rehearsed questions would teach."""
    for _, result, _ in planned.results:
        yield from result[1] if result is not None else ()
