"""The one way to a model: look a completion up in the log, ask for what is missing, keep it, count.

    async with ModelClient({"teacher": teacher.open()}, log, ledger=ledger, budget=budget) as ask:
        completions = await ask("Q: ...", samples=8, temperature=0.7)

Requests that are the same and under way at the same time are asked once, by one process. A
completion is logged, and its transaction committed, before anyone sees it.
"""

import asyncio
import random
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cotdistill.contracts import MeteredModel, Model, Usage
from cotdistill.errors import CotdistillError, QuestionFailed, UserError
from cotdistill.model.completion_log import (
    CompletionLog,
    canonical_json,
    request_json,
    request_key,
)
from cotdistill.model.ledger import Budget, Ledger, RoleMeter
from cotdistill.model.sharing import SharedLimits, SharedMeter
from cotdistill.records import REFUSED, Completion, Prompt, Request


@dataclass(frozen=True, slots=True)
class _Role:
    name: str
    model: Model
    metered: MeteredModel | None
    meter: RoleMeter
    identity_json: str


_Outcome = dict[int, Completion] | CotdistillError | None


class ModelClient:
    """Answers `ask` for one run, for every role there is a model for (see `contracts.Ask`).

    Completions of `logged_roles` go through the log (one in memory without `log`); the others
    (local students) are asked anew each time and spend no budget. With `shared`, limits and budget
    hold for all workers together.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        log: CompletionLog | None = None,
        *,
        ledger: Ledger | None = None,
        budget: Budget | None = None,
        logged_roles: Collection[str] = ("teacher", "guide"),
        shared: SharedLimits | None = None,
    ) -> None:
        self.ledger = ledger or Ledger()
        self._budget = budget or Budget()
        self._shared = shared
        self._log = log or CompletionLog()
        self.ledger.follow(self._log)
        self._logged_roles = frozenset(logged_roles)
        self._under_way: dict[tuple[str, int], asyncio.Future[_Outcome]] = {}
        self._roles: dict[str, _Role] = {}
        self._at_work: dict[str, tuple[int, float]] = {}
        for role, model in models.items():
            self.add(role, model)

    def add(self, role: str, model: Model) -> None:
        """Make a model available under a role (a student once it is trained), replacing another.

        Raises:
            UserError: the budget is in dollars and the model's price is not known.
        """
        identity_json = canonical_json(dict(model.identity()))
        metered = model if isinstance(model, MeteredModel) else None
        price = metered.price if metered is not None else None
        logged = role in self._logged_roles
        if not logged:
            self.ledger.add(role, free=1)
        else:
            refuse_unpriced(role, model, self._budget)
        budget = self._budget if logged else Budget()
        meter = RoleMeter(self.ledger, self._log, role, price, budget)
        if self._shared is not None:
            meter = SharedMeter(self._shared, self.ledger, self._log, role, price, budget)
        if metered is not None:
            meter.answered_before = self._log.knows(identity_json)
            metered.attach(meter)
        self._roles[role] = _Role(role, model, metered, meter, identity_json)

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
        target = self._roles.get(role)
        if target is None:
            known = ", ".join(sorted(self._roles))
            raise UserError(f"no model for the role {role!r}; this run has {known}")
        request = Request(prompt, temperature, top_p, max_tokens, tuple(stop), prefill)
        wanted = range(first_sample, first_sample + samples)
        if not wanted:
            return []
        if role not in self._logged_roles:
            return await self._ask_model(target, request, wanted)
        found = await self._obtain(target, request, request_json(request), wanted)
        completions = [found[index] for index in wanted if index in found]
        kept = [one for one in completions if one.finish_reason != REFUSED]
        if completions and not kept:
            raise QuestionFailed(completions[0].text, "refused by the endpoint")
        if target.metered is not None:
            return [target.metered.present(completion) for completion in kept]
        return kept

    async def _obtain(
        self, target: _Role, request: Request, request_json: str, wanted: Sequence[int]
    ) -> dict[int, Completion]:
        """The completions from the log, from a caller who asks for them already, or the model."""
        key = request_key(target.identity_json, request_json)
        missing: list[int] = []
        under_way: dict[int, asyncio.Future[_Outcome]] = {}
        for index in wanted:
            future = self._under_way.get((key, index))
            if future is None:
                missing.append(index)
            else:
                under_way[index] = future
        found: dict[int, Completion] = {}
        if missing:
            found = await self._fetch(target, request, request_json, key, missing)
        for index, future in under_way.items():
            outcome = await asyncio.shield(future)
            if isinstance(outcome, CotdistillError):
                raise outcome
            if outcome is None:  # the caller who asked was cancelled
                found |= await self._obtain(target, request, request_json, [index])
            elif index in outcome:
                found[index] = outcome[index]
                self.ledger.saved(target.name, [outcome[index]])
        return found

    async def _fetch(
        self,
        target: _Role,
        request: Request,
        request_json: str,
        key: str,
        wanted: Sequence[int],
    ) -> dict[int, Completion]:
        """Look up, or ask for, what nobody else in this process does: others await the future."""
        outcome: _Outcome = None
        future: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        for index in wanted:
            self._under_way[key, index] = future
        try:
            # While another process is asking, its answer is waited for.
            while (found := await self._log.claim(key, wanted)) is None:
                await asyncio.sleep(random.uniform(0.1, 0.3))
            if found:
                self.ledger.saved(target.name, found.values())
            missing = [index for index in wanted if index not in found]
            if missing:
                found |= await self._make(target, request, request_json, key, missing)
            outcome = found
            return found
        except CotdistillError as error:
            outcome = error
            raise
        finally:
            for index in wanted:
                del self._under_way[key, index]
            future.set_result(outcome)

    async def _make(
        self,
        target: _Role,
        request: Request,
        request_json: str,
        key: str,
        missing: Sequence[int],
    ) -> dict[int, Completion]:
        """Ask the model for what is claimed, and keep it; the claim ends in any case."""
        made: list[Completion] = []
        try:
            made = await self._ask_model(target, request, missing)
            if made:
                made = await self._log.put(key, target.identity_json, request_json, made)
            return {completion.sample_index: completion for completion in made}
        finally:
            if not made:
                self._log.release(key)

    async def _ask_model(
        self, target: _Role, request: Request, wanted: Sequence[int]
    ) -> list[Completion]:
        meter, ledger = target.meter, self.ledger
        reservation = 0
        if target.metered is None:
            reservation = await meter.reserve(_most(request, len(wanted)))
            self._note_work(target.name, 1)
        usage = None
        try:
            completions = await target.model.complete(request, wanted)
            if target.metered is None:
                usage = Usage(
                    sum(c.prompt_tokens for c in completions),
                    sum(c.completion_tokens for c in completions),
                    sum(c.cached_prompt_tokens for c in completions),
                )
        except QuestionFailed as error:
            ledger.fail(error.reason)
            raise
        finally:
            if target.metered is None:
                meter.settle(reservation, usage, self._note_work(target.name, -1))
        ledger.add(target.name, completions=len(completions))
        for completion in completions:
            if completion.finish_reason == REFUSED:
                ledger.fail("refused by the endpoint")
        if len(completions) < len(wanted):
            ledger.event("samples that do not exist", len(wanted) - len(completions))
        return completions

    def _note_work(self, role: str, more: int) -> float:
        """Return for how long the role was at work since the last note: of requests under way at
        once, such as those of one batch, no second counts twice."""
        now = time.monotonic()
        under_way, noted = self._at_work.get(role, (0, now))
        self._at_work[role] = under_way + more, now
        seconds = now - noted if under_way else 0.0
        if more > 0:
            self.ledger.add(role, seconds=seconds)
        return seconds

    async def close(self) -> None:
        """Close every model once."""
        models = {id(role.model): role.model for role in self._roles.values()}
        self._roles.clear()
        for model in models.values():
            await model.close()
        if self._shared is not None:
            await self._shared.close()
        self.ledger.follow(self._log)
        if self._log.path is None:
            self._log.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def refuse_unpriced(role: str, model: Model, budget: Budget) -> None:
    """Refuse a model whose price is not known where the budget is in dollars.

    Raises:
        UserError: it is so; the message has the remedy.
    """
    if isinstance(model, MeteredModel) and model.price is None and budget.money is not None:
        raise UserError(
            f"budget: the price of the {role} is not known, so `usd` cannot limit it; give the"
            " teacher `input_price` and `output_price` (0 where it is free), or limit `tokens`"
        )


def _most(request: Request, samples: int) -> Usage:
    """The tokens a request may use at most; a prompt's token has two characters or more."""
    prompt = request.prompt
    texts = [prompt] if isinstance(prompt, str) else [message.content for message in prompt]
    return Usage(sum(map(len, texts)) // 2 + 8, request.max_tokens * samples)
