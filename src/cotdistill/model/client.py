"""The one way to a model: looks a completion up in the log, asks for what is missing, keeps it, and counts the cost.

    async with Asker({"teacher": teacher.open()}, log, ledger=ledger, budget=budget) as ask:
        completions = await ask("Q: ...", samples=8, temperature=0.7)

Requests that are the same and under way at the same time are asked once. A completion is logged, and its transaction
committed, before anyone sees it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from cotdistill.contracts import Model
from cotdistill.errors import CotdistillError, QuestionFailed, UserError
from cotdistill.model.completion_log import CompletionLog, canonical_json, key_maker, request_json
from cotdistill.model.ledger import Budget, Ledger
from cotdistill.model.pricing import Price
from cotdistill.records import Completion, Prompt, Request

__all__ = ["Asker", "Hooked", "Hooks"]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run gives to a model that sends requests: call `before_send` before each, `count` for each event."""

    before_send: Callable[[], None]
    count: Callable[[str], None]
    log: CompletionLog | None


@runtime_checkable
class Hooked(Protocol):
    """A model whose requests cost money or time: it knows its price and lets the run watch what it sends."""

    @property
    def price(self) -> Price | None: ...

    def attach(self, hooks: Hooks) -> None: ...


@dataclass(frozen=True, slots=True)
class _Role:
    model: Model
    price: Price | None
    identity_json: str
    key: key_maker
    log: CompletionLog | None


_Outcome = dict[int, Completion] | CotdistillError | None


class Asker:
    """Answers `ask` for one run, for every role there is a model for (see `contracts.Ask`).

    Completions of `logged_roles` go through the log; the others (local students) are asked anew each time.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        log: CompletionLog | None = None,
        *,
        ledger: Ledger | None = None,
        budget: Budget | None = None,
        logged_roles: Collection[str] = ("teacher", "guide"),
    ) -> None:
        self.ledger = ledger or Ledger()
        self._budget = budget or Budget()
        self._log = log
        self._logged_roles = frozenset(logged_roles)
        self._under_way: dict[tuple[str, int], asyncio.Future[_Outcome]] = {}
        self._roles: dict[str, _Role] = {}
        for role, model in models.items():
            self.add(role, model)

    def add(self, role: str, model: Model) -> None:
        """Make a model available under a role (a student once it is trained); an older one is replaced."""
        identity_json = canonical_json(dict(model.identity()))
        price = None
        if isinstance(model, Hooked):
            price = model.price
            model.attach(Hooks(self._check_budget, self._count, self._log))
        log = self._log if role in self._logged_roles else None
        self._roles[role] = _Role(model, price, identity_json, key_maker(identity_json), log)

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
        target = self._roles.get(role)
        if target is None:
            raise UserError(
                f"no model for the role {role!r}; this run has {', '.join(sorted(self._roles))}"
            )
        request = Request(prompt, temperature, top_p, max_tokens, tuple(stop), prefill)
        wanted = range(first_sample, first_sample + samples)
        if not wanted:
            return []
        if role not in self._logged_roles:
            return await self._ask_model(role, target, request, wanted)
        found = await self._obtain(role, target, request, request_json(request), wanted)
        return [found[index] for index in wanted if index in found]

    async def _obtain(
        self, role: str, target: _Role, request: Request, request_json: str, wanted: Sequence[int]
    ) -> dict[int, Completion]:
        """The wanted completions from the log, from a caller who is asking for them already, or from the model."""
        key = target.key(request_json)
        found: dict[int, Completion] = {}
        if target.log is not None:
            there = target.log.get(key, wanted[0], wanted[-1] - wanted[0] + 1)
            found = {index: there[index] for index in wanted if index in there} if there else {}
            self.ledger.saved(role, found.values())
        missing: list[int] = []
        under_way: dict[int, asyncio.Future[_Outcome]] = {}
        for index in wanted:
            if index not in found:
                future = self._under_way.get((key, index))
                if future is None:
                    missing.append(index)
                else:
                    under_way[index] = future
        if missing:
            found |= await self._fetch(role, target, request, request_json, key, missing)
        for index, future in under_way.items():
            outcome = await asyncio.shield(future)
            if isinstance(outcome, CotdistillError):
                raise outcome
            if outcome is None:  # the caller who asked was cancelled
                found |= await self._obtain(role, target, request, request_json, [index])
            elif index in outcome:
                found[index] = outcome[index]
                self.ledger.saved(role, [outcome[index]])
        return found

    async def _fetch(
        self,
        role: str,
        target: _Role,
        request: Request,
        request_json: str,
        key: str,
        missing: Sequence[int],
    ) -> dict[int, Completion]:
        outcome: _Outcome = None
        future: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        for index in missing:
            self._under_way[key, index] = future
        try:
            completions = [
                replace(c, key=key) for c in await self._ask_model(role, target, request, missing)
            ]
            if target.log is not None and completions:
                await target.log.put(key, target.identity_json, request_json, completions)
            outcome = {completion.sample_index: completion for completion in completions}
            return outcome
        except CotdistillError as error:
            outcome = error
            raise
        finally:
            for index in missing:
                del self._under_way[key, index]
            future.set_result(outcome)

    async def _ask_model(
        self, role: str, target: _Role, request: Request, wanted: Sequence[int]
    ) -> list[Completion]:
        local = role not in self._logged_roles
        if not local:
            self._check_budget()
        try:
            completions = await target.model.complete(request, wanted)
        except QuestionFailed as error:
            self.ledger.failed[error.reason] += 1
            raise
        self.ledger.paid(role, completions, target.price, local=local)
        if len(completions) < len(wanted):
            self.ledger.events["samples that do not exist"] += len(wanted) - len(completions)
        return completions

    def _check_budget(self) -> None:
        self.ledger.check(self._budget)

    def _count(self, event: str) -> None:
        self.ledger.events[event] += 1

    async def close(self) -> None:
        """Close every model once."""
        models = {id(role.model): role.model for role in self._roles.values()}
        self._roles.clear()
        for model in models.values():
            await model.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
