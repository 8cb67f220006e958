"""Ask: what is looked up, what is asked, what is merged, what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import BudgetSpent, FatalTeacherError, QuestionFailed, StoreError, UserError
from cotdistill.model.client import Asker, Hooks
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget, Ledger
from cotdistill.model.pricing import Price
from cotdistill.records import Completion, Request


class Counting:
    """A model that writes down what it is asked."""

    def __init__(self, model: str = "m", error: Exception | None = None, most: int = 99) -> None:
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.closed = 0
        self._model, self._error, self._most = model, error, most

    def identity(self) -> Mapping[str, Any]:
        return {"model": self._model}

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        self.asked.append((str(request.prompt), tuple(sample_indices)))
        await asyncio.sleep(0.005)
        if self._error is not None:
            raise self._error
        return [
            Completion(f"{request.prompt} {i}", i, prompt_tokens=10, completion_tokens=5)
            for i in sample_indices
            if i < self._most
        ]

    async def close(self) -> None:
        self.closed += 1


class Priced(Counting):
    """The same with a price, as an endpoint has."""

    price = Price(input=1.0, output=2.0)

    def attach(self, hooks: Hooks) -> None:
        self.hooks = hooks


def test_a_second_run_asks_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"

    async def run(samples: int, rows: int) -> list[tuple[str, tuple[int, ...]]]:
        model = Counting()
        with CompletionLog(path) as log:
            async with Asker({"teacher": model}, log) as ask:
                replies = await asyncio.gather(
                    *(ask(f"Q{n}", samples=samples, temperature=0.7) for n in range(rows))
                )
                assert [[c.text for c in reply] for reply in replies] == [
                    [f"Q{n} {i}" for i in range(samples)] for n in range(rows)
                ]
                assert all(completion.key for reply in replies for completion in reply)
        return model.asked

    assert asyncio.run(run(4, 2)) == [("Q0", (0, 1, 2, 3)), ("Q1", (0, 1, 2, 3))]
    assert asyncio.run(run(4, 2)) == []
    assert asyncio.run(run(8, 2)) == [("Q0", (4, 5, 6, 7)), ("Q1", (4, 5, 6, 7))]
    assert asyncio.run(run(8, 3)) == [("Q2", tuple(range(8)))]


def test_the_same_request_at_the_same_time_is_asked_once(tmp_path: Path) -> None:
    async def run(log: CompletionLog | None) -> None:
        model = Counting()
        async with Asker({"teacher": model}, log) as ask:
            first, second, third = await asyncio.gather(
                ask("Q", samples=2), ask("Q", samples=4), ask("Q", samples=1, first_sample=3)
            )
            assert model.asked == [("Q", (0, 1)), ("Q", (2, 3))]
            assert [c.text for c in second] == ["Q 0", "Q 1", "Q 2", "Q 3"]
            assert first == second[:2]
            assert third == second[3:]
            assert ask.ledger.roles["teacher"].completions == 4

    asyncio.run(run(None))
    with CompletionLog(tmp_path / "log.sqlite") as log:
        asyncio.run(run(log))


def test_when_the_caller_who_asks_is_cancelled_another_takes_over() -> None:
    async def run() -> None:
        model = Counting()
        ask = Asker({"teacher": model})
        first = asyncio.create_task(ask("Q"))
        await asyncio.sleep(0)
        others = [asyncio.create_task(ask("Q")) for _ in range(2)]
        await asyncio.sleep(0)
        first.cancel()
        replies = await asyncio.gather(*others)
        assert [reply[0].text for reply in replies] == ["Q 0", "Q 0"]
        assert len(model.asked) == 2

    asyncio.run(run())


def test_a_failure_reaches_all_who_wait_and_is_counted_once() -> None:
    async def run() -> None:
        model = Counting(error=QuestionFailed("no reply", "empty"))
        ask = Asker({"teacher": model})
        results = await asyncio.gather(ask("Q"), ask("Q"), return_exceptions=True)
        assert all(isinstance(result, QuestionFailed) for result in results)
        assert len(model.asked) == 1
        assert ask.ledger.failed == {"empty": 1}

    asyncio.run(run())


def test_fatal_errors_pass_through() -> None:
    with pytest.raises(FatalTeacherError):
        asyncio.run(Asker({"teacher": Counting(error=FatalTeacherError("bad key"))})("Q"))


def test_samples_that_do_not_exist_are_left_out_and_counted() -> None:
    async def run() -> None:
        ask = Asker({"teacher": Counting(most=3)})
        assert [c.sample_index for c in await ask("Q", samples=5)] == [0, 1, 2]
        assert ask.ledger.events["samples that do not exist"] == 2

    asyncio.run(run())


def test_local_roles_are_not_logged_and_guides_are(tmp_path: Path) -> None:
    async def run() -> None:
        student, guide = Counting("s"), Counting("g")
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with Asker({"student": student, "guide": guide}, log) as ask:
                for _ in range(2):
                    await ask("Q", role="student")
                    await ask("Q", role="guide")
            assert [row[2] for row in log.summary()] == [1]
        assert (len(student.asked), len(guide.asked)) == (2, 1)

    asyncio.run(run())


def test_a_local_student_spends_no_budget() -> None:
    async def run() -> None:
        ask = Asker({"student": Counting("s"), "teacher": Counting()}, budget=Budget(tokens=20))
        for n in range(5):
            await ask(f"Q{n}", role="student")
        await ask("Q")
        assert ask.ledger.tokens == 15
        assert ask.ledger.roles["student"].completions == 5

    asyncio.run(run())


def test_an_unknown_role_names_those_there_are() -> None:
    with pytest.raises(UserError, match="'decomposer'; this run has teacher"):
        asyncio.run(Asker({"teacher": Counting()})("Q", role="decomposer"))


def test_one_model_under_two_roles_is_closed_once_and_shares_its_completions(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        model = Counting()
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with Asker({"teacher": model, "guide": model}, log) as ask:
                await ask("Q")
                await ask("Q", role="guide")
        assert (len(model.asked), model.closed) == (1, 1)

    asyncio.run(run())


def test_money_and_tokens_are_counted_and_a_budget_stops_the_run(tmp_path: Path) -> None:
    async def run(budget: Budget) -> Ledger:
        model = Priced()
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with Asker({"teacher": model}, log, budget=budget) as ask:
                for n in range(5):
                    await ask(f"Q{n}")
                return ask.ledger

    with pytest.raises(BudgetSpent, match="45 of 40 tokens"):
        asyncio.run(run(Budget(tokens=40)))
    ledger = asyncio.run(run(Budget(money=0.01)))
    assert ledger.to_json()["roles"]["teacher"] == {
        "completions": 2,
        "from_log": 3,
        "prompt_tokens": 20,
        "cached_prompt_tokens": 0,
        "completion_tokens": 10,
        "tokens_from_log": 45,
        "money": 0.00004,
    }
    assert ledger.seconds_left(0, 10) is None
    ledger.write(tmp_path / "ledger.json")
    assert "from_log" in (tmp_path / "ledger.json").read_text()


def test_a_log_that_fails_stops_everyone_who_waits_without_asking_again(tmp_path: Path) -> None:
    async def run() -> None:
        model = Counting()
        with CompletionLog(tmp_path / "log.sqlite") as log:
            log._database.execute("PRAGMA query_only=1")
            ask = Asker({"teacher": model}, log)
            results = await asyncio.gather(ask("Q"), ask("Q"), return_exceptions=True)
        assert all(isinstance(result, StoreError) for result in results)
        assert len(model.asked) == 1

    asyncio.run(run())
