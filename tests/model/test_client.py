"""Ask: what is looked up, what is asked, what is merged, what is counted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cotdistill.contracts import Meter, Price, Usage
from cotdistill.errors import BudgetSpent, FatalTeacherError, QuestionFailed, StoreError, UserError
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget, Ledger
from cotdistill.records import REFUSED, Completion, Request


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
    """The same, charged for its calls as an endpoint is: 20 dollars a million tokens, 15 tokens."""

    price: Price | None = Price(input=20.0, output=20.0)
    meter: Meter
    tokens = 15

    def attach(self, meter: Meter) -> None:
        self.meter = meter

    def present(self, completion: Completion) -> Completion:
        return completion

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        reservation = await self.meter.reserve(Usage(10, request.max_tokens))
        self.meter.count("requests")
        completions = await super().complete(request, sample_indices)
        self.meter.settle(reservation, Usage(10, self.tokens - 10))
        return completions


def test_a_second_run_asks_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"

    async def run(samples: int, rows: int) -> list[tuple[str, tuple[int, ...]]]:
        model = Counting()
        with CompletionLog(path) as log:
            async with ModelClient({"teacher": model}, log) as ask:
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
        async with ModelClient({"teacher": model}, log) as ask:
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
        ask = ModelClient({"teacher": model})
        first = asyncio.create_task(ask("Q"))
        while not model.asked:
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
        ask = ModelClient({"teacher": model})
        results = await asyncio.gather(ask("Q"), ask("Q"), return_exceptions=True)
        assert all(isinstance(result, QuestionFailed) for result in results)
        assert len(model.asked) == 1
        assert ask.ledger.failed == {"empty": 1}

    asyncio.run(run())


def test_fatal_errors_pass_through() -> None:
    with pytest.raises(FatalTeacherError):
        asyncio.run(ModelClient({"teacher": Counting(error=FatalTeacherError("bad key"))})("Q"))


def test_samples_that_do_not_exist_are_left_out_and_counted() -> None:
    async def run() -> None:
        ask = ModelClient({"teacher": Counting(most=3)})
        assert [c.sample_index for c in await ask("Q", samples=5)] == [0, 1, 2]
        assert ask.ledger.events["samples that do not exist"] == 2

    asyncio.run(run())


def test_local_roles_are_not_logged_and_guides_are(tmp_path: Path) -> None:
    async def run() -> None:
        student, guide = Counting("s"), Counting("g")
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with ModelClient({"student": student, "guide": guide}, log) as ask:
                for _ in range(2):
                    await ask("Q", role="student")
                    await ask("Q", role="guide")
            assert [row[2] for row in log.summary()] == [1]
        assert (len(student.asked), len(guide.asked)) == (2, 1)

    asyncio.run(run())


def test_a_local_student_spends_no_budget() -> None:
    async def run() -> None:
        ask = ModelClient(
            {"student": Counting("s"), "teacher": Counting()}, budget=Budget(tokens=20)
        )
        for n in range(5):
            await ask(f"Q{n}", role="student")
        await ask("Q")
        assert ask.ledger.tokens == 15
        assert ask.ledger.roles["student"].completions == 5

    asyncio.run(run())


def test_an_unknown_role_names_those_there_are() -> None:
    with pytest.raises(UserError, match="'decomposer'; this run has teacher"):
        asyncio.run(ModelClient({"teacher": Counting()})("Q", role="decomposer"))


def test_one_model_under_two_roles_is_closed_once_and_shares_its_completions(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        model = Counting()
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with ModelClient({"teacher": model, "guide": model}, log) as ask:
                await ask("Q")
                await ask("Q", role="guide")
        assert (len(model.asked), model.closed) == (1, 1)

    asyncio.run(run())


async def ask_all(log: CompletionLog, budget: Budget, count: int, **settings: Any) -> ModelClient:
    async with ModelClient({"teacher": Priced()}, log, budget=budget) as ask:
        replies = (ask(f"Q{n}", max_tokens=5, **settings) for n in range(count))
        await asyncio.gather(*replies)
        return ask


def test_money_and_tokens_are_counted_over_all_calls(tmp_path: Path) -> None:
    for count in (3, 5):
        with CompletionLog(tmp_path / "log.sqlite") as log:
            ask = asyncio.run(ask_all(log, Budget(money=1.0), count))
    assert ask.ledger.to_json()["roles"]["teacher"] == {
        "completions": 5,
        "calls": 5,
        "seconds": 0.0,
        "from_log": 3,
        "prompt_tokens": 50,
        "cached_prompt_tokens": 0,
        "completion_tokens": 25,
        "estimated_tokens": 0,
        "lost_tokens": 0,
        "tokens_from_log": 45,
        "money": pytest.approx(0.0015),
        "free": 0,
    }
    assert ask.ledger.total.events == {"requests": 5}
    assert ask.ledger.events == {"requests": 2}
    ask.ledger.write(tmp_path / "ledger.json")
    assert "from_log" in (tmp_path / "ledger.json").read_text()


@pytest.mark.parametrize("budget", [Budget(tokens=160), Budget(money=0.0032)])
def test_a_budget_is_that_of_all_calls_and_is_passed_by_no_more_than_one_request(
    tmp_path: Path, budget: Budget
) -> None:
    for _ in range(3):
        with CompletionLog(tmp_path / "log.sqlite") as log:
            with pytest.raises(BudgetSpent, match="raise `budget` and run again"):
                asyncio.run(ask_all(log, budget, 100))
            spent = Ledger()
            spent.follow(log)
            assert 150 < spent.total.tokens <= 160 + 15
            assert spent.total.roles["teacher"].completions == spent.total.tokens / 15


def test_each_run_of_a_shared_log_has_its_own_budget(tmp_path: Path) -> None:
    for run in ("a", "b"):
        with CompletionLog(tmp_path / "log.sqlite", run=run) as log:
            with pytest.raises(BudgetSpent):
                asyncio.run(ask_all(log, Budget(tokens=60), 100, temperature=float(run == "b")))
            assert sum(v for (_, name), v in log.read_counts().items() if name in TOKENS) == 60


TOKENS = ("prompt_tokens", "completion_tokens")


def test_replies_that_cost_more_than_was_thought_are_known_after_the_first(tmp_path: Path) -> None:
    async def main() -> None:
        model = Priced()
        model.tokens = 1000  # where 10 + 5 were thought to be the most
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with ModelClient({"teacher": model}, log, budget=Budget(tokens=5000)) as ask:
                with pytest.raises(BudgetSpent):
                    await asyncio.gather(*(ask(f"Q{n}", max_tokens=5) for n in range(64)))
                assert ask.ledger.tokens == 5000

    asyncio.run(main())


def test_dollars_need_a_price(tmp_path: Path) -> None:
    model = Priced()
    model.price = None
    with pytest.raises(UserError, match="the price of the teacher is not known"):
        ModelClient({"teacher": model}, budget=Budget(money=1.0))
    ModelClient({"teacher": Counting()}, budget=Budget(money=1.0))  # asks nobody who charges
    ModelClient({"teacher": model}, budget=Budget(tokens=1))


KILLED = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_client import *
class Dying(Priced):
    async def complete(self, request, indices):
        await self.meter.reserve(Usage(10, 90))
        os.kill(os.getpid(), 9)
async def main():
    log = CompletionLog(Path(sys.argv[2]))
    model = Dying() if sys.argv[3] == "die" else Priced()
    async with ModelClient({"teacher": model}, log, budget=Budget(tokens=100_000)) as ask:
        await asyncio.gather(*(ask(f"Q{n}", max_tokens=5) for n in range(300)))
        print(len(model.asked))
    log.close()
asyncio.run(main())
"""


def start(path: Path, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(path), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_call_had_under_way_counts_and_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    dying = start(path, "die")
    dying.communicate(timeout=60)
    assert dying.returncode == -9
    with CompletionLog(path) as log:
        ask = asyncio.run(ask_all(log, Budget(tokens=1000), 2))
    assert ask.ledger.total.roles["teacher"].lost_tokens == 100
    assert ask.ledger.total.tokens == 100 + 2 * 15
    assert list(tmp_path.glob("*.lock")) == []


def test_two_processes_on_one_log_ask_for_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    both = [start(path, "work") for _ in range(2)]
    asked = [int(process.communicate(timeout=60)[0]) for process in both]
    assert sum(asked) == 300
    with CompletionLog(path) as log:
        assert log.read_counts()["teacher", "prompt_tokens"] == 300 * 10
    assert list(tmp_path.glob("*.lock")) == []


class Refusing(Counting):
    """Refuses sample 1, and everything about a bomb."""

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        made = await super().complete(request, sample_indices)
        bad = "bomb" in str(request.prompt)
        return [
            Completion("refused: no", c.sample_index, finish_reason=REFUSED)
            if bad or c.sample_index == 1
            else c
            for c in made
        ]


def test_a_refusal_is_final_and_the_other_samples_are_kept(tmp_path: Path) -> None:
    async def main() -> list[tuple[str, tuple[int, ...]]]:
        model = Refusing()
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with ModelClient({"teacher": model}, log) as ask:
                assert [c.sample_index for c in await ask("Q", samples=3)] == [0, 2]
                with pytest.raises(QuestionFailed, match="refused: no") as caught:
                    await ask("a bomb")
                assert caught.value.reason == "refused by the endpoint"
                assert ask.ledger.total.failed == {"refused by the endpoint": 2}
        return model.asked

    assert asyncio.run(main()) == [("Q", (0, 1, 2)), ("a bomb", (0,))]
    assert asyncio.run(main()) == []


def test_a_log_that_fails_stops_everyone_before_anything_is_asked(tmp_path: Path) -> None:
    async def run() -> None:
        model = Counting()
        with CompletionLog(tmp_path / "log.sqlite") as log:
            log._database.execute("PRAGMA query_only=1")
            ask = ModelClient({"teacher": model}, log)
            results = await asyncio.gather(ask("Q"), ask("Q"), return_exceptions=True)
        assert all(isinstance(result, StoreError) for result in results)
        assert len(model.asked) == 0  # what cannot be kept is not paid for

    asyncio.run(run())
