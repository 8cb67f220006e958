"""The batcher: one batch for what is asked together, the right error for the right waiter, one
answer per question.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from cotdistill.engines.transformers import TransformersEngine
from cotdistill.errors import QuestionFailed
from cotdistill.model.batcher import LISTENER, BatchedModel
from cotdistill.records import Completion, Request
from cotdistill.testing.tiny import tiny_checkpoint


class CountingEngine:
    """Answers with the prompt in capitals; refuses prompts that hold "long"; notes its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[str] = set()

    def identity(self) -> Mapping[str, Any]:
        return {"engine": "counting"}

    def generate(self, batch: Sequence[tuple[Request, int]]) -> list[Completion | QuestionFailed]:
        self.threads.add(threading.current_thread().name)
        if any("crash" in str(request.prompt) for request, _ in batch):
            raise RuntimeError("out of memory")
        self.batches.append(len(batch))
        return [
            QuestionFailed("too long", reason="prompt too long")
            if "long" in str(request.prompt)
            else Completion(str(request.prompt).upper(), index)
            for request, index in batch
        ]


def test_what_is_asked_at_the_same_moment_is_one_batch() -> None:
    engine = CountingEngine()

    async def question(model: BatchedModel, number: int) -> str:
        first = await model.complete(Request(f"q{number}"), [0, 1])
        await asyncio.sleep(0)
        second = await model.complete(Request(first[0].text + "!"), [0])
        assert [c.sample_index for c in first] == [0, 1]
        return second[0].text

    async def run() -> list[str]:
        model = BatchedModel(engine)
        texts = await asyncio.gather(*(question(model, number) for number in range(50)))
        await model.close()
        return texts

    assert asyncio.run(run()) == [f"Q{number}!" for number in range(50)]
    assert engine.batches == [100, 50]
    assert engine.threads != {threading.current_thread().name}


def test_a_refused_request_fails_alone() -> None:
    async def run() -> list[Any]:
        model = BatchedModel(CountingEngine())
        asked = [
            model.complete(Request("too long" if number == 3 else "fine"), [0])
            for number in range(7)
        ]
        results = await asyncio.gather(*asked, return_exceptions=True)
        await model.close()
        return results

    results = asyncio.run(run())
    assert isinstance(results.pop(3), QuestionFailed)
    assert [result[0].text for result in results] == ["FINE"] * 6


def test_an_engine_that_breaks_tells_everyone_who_waits_and_goes_on() -> None:
    async def run() -> None:
        model = BatchedModel(CountingEngine())
        with pytest.raises(RuntimeError, match="out of memory"):
            await model.complete(Request("crash"), [0])
        assert (await model.complete(Request("fine"), [0]))[0].text == "FINE"
        await model.close()

    asyncio.run(run())


def test_an_interrupted_run_does_not_wait_for_the_batch(tmp_path: Path) -> None:
    engine = TransformersEngine().load(tiny_checkpoint(tmp_path, "t5"))

    async def run() -> None:
        model = BatchedModel(engine)
        asked = asyncio.create_task(
            model.complete(Request("Q: Is it?", max_tokens=1_000_000, temperature=2.0), range(4))
        )
        await asyncio.sleep(0.2)
        assert not asked.done()
        await model.close()
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(asyncio.wait_for(run(), timeout=30))


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_questions_asked_while_a_batch_runs_join_it_and_get_the_same_answers(
    tmp_path: Path, family: Any
) -> None:
    engine = TransformersEngine(batch_size=6).load(tiny_checkpoint(tmp_path, family))
    requests = [
        Request(f"Q: Is coin {number} heads up?", temperature=0.8, max_tokens=10 + number)
        for number in range(9)
    ]
    too_long = Request("coin " * 300)

    async def chain(model: BatchedModel, request: Request) -> list[str]:
        first = await model.complete(request, [0, 1])
        second = await model.complete(
            Request(str(request.prompt) + first[0].text[:5], max_tokens=9), [0]
        )
        return [first[0].text, first[1].text, second[0].text]

    async def run() -> list[list[str]]:
        model = BatchedModel(engine)
        results = await asyncio.gather(*(chain(model, request) for request in requests))
        if family == "llama":
            with pytest.raises(QuestionFailed):
                await model.complete(too_long, [0])
        await model.close()
        return results

    for request, (first, other, second) in zip(requests, asyncio.run(run()), strict=True):
        assert [c.text for c in engine.generate([(request, 0), (request, 1)])] == [first, other]
        again = Request(str(request.prompt) + first[:5], max_tokens=9)
        assert engine.generate([(again, 0)])[0].text == second


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_who_gives_up_leaves_the_batch_and_nothing_of_it_stays(tmp_path: Path, family: Any) -> None:
    engine = TransformersEngine(batch_size=4).load(tiny_checkpoint(tmp_path, family))
    endless = Request("Q: Is it?", max_tokens=100_000 if family == "t5" else 200, temperature=2.0)
    short = [Request(f"Q: Is coin {number} heads up?", max_tokens=9) for number in range(9)]

    async def run() -> list[str]:
        model = BatchedModel(engine)
        given_up = asyncio.create_task(model.complete(endless, range(8)))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(model.complete(one, [0])) for one in short]
        given_up.cancel()
        texts = [(await one)[0].text for one in waiting]
        assert vars(model)["_taken"] == {} and not vars(model)["_pending"]
        await model.close()
        return texts

    texts = asyncio.run(asyncio.wait_for(run(), timeout=60))
    assert texts == [engine.generate([(one, 0)])[0].text for one in short]


@pytest.mark.parametrize("family", ["llama", "t5", "qwen2"])
def test_a_text_is_heard_as_it_is_written(tmp_path: Path, family: Any) -> None:
    engine = TransformersEngine().load(tiny_checkpoint(tmp_path, family), target_begin=" ")
    heard: list[str] = []

    async def run(request: Request) -> str:
        model = BatchedModel(engine)
        listening = LISTENER.set(heard.append)
        (made,) = await model.complete(request, [0])
        LISTENER.reset(listening)
        await model.complete(Request("Q: And this?", max_tokens=9), [0])  # which nobody hears
        await model.close()
        return made.text

    request = Request("Q: Is it?", max_tokens=40, temperature=2.0)
    whole = asyncio.run(run(request))
    assert whole.startswith("".join(heard)) and len(heard) > 3
    assert len(whole) - len("".join(heard)) <= 4  # an unfinished character, an end
    heard.clear()
    stop = " now"  # which these models write now and then; what may begin it is held back
    cut = asyncio.run(run(replace(request, stop=(stop,), max_tokens=200)))
    assert cut.startswith("".join(heard)) and len(cut) - len("".join(heard)) <= len(stop) + 4


@pytest.mark.parametrize("alike", [False, True], ids=["each its own", "beginnings kept"])
def test_a_short_prompt_does_not_wait_behind_longer_ones_that_keep_coming(
    tmp_path: Path, alike: bool
) -> None:
    engine = TransformersEngine(batch_size=2).load(tiny_checkpoint(tmp_path, "llama"))
    decoding = engine.decoding()  # type: ignore[attr-defined]
    begin = "Q: Ana has 3 apples and buys 8 more. How many has she now? " * 2 * alike

    def add(number: int, text: str = "Q: Is coin number {} up?") -> None:
        request = Request(begin * (number != 99) + text.format(number), max_tokens=4)
        decoding.add([(number, request, 0)])

    for number in range(4):
        add(number)
    if alike:  # until beginnings are kept, and the batch is full again
        while decoding.busy:
            decoding.step()
        add(4)
        add(5)
        decoding.step()
    add(99, "Up?")
    finished, number = list[int](), 100
    while 99 not in finished and number < 200:
        add(number)
        finished += [slot for slot, _ in decoding.step()]
        number += 1
    overtook = len([slot for slot in finished if slot >= 100])
    assert 99 in finished and (10 < overtook < 20 if alike else overtook <= 1)


def test_an_engine_that_broke_while_rows_ran_forgets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = TransformersEngine().load(tiny_checkpoint(tmp_path, "llama"))
    forward = engine.model.forward

    @wraps(forward)
    def breaks(**states: Any) -> Any:
        if states["input_ids"].shape[1] == 1:
            raise RuntimeError("out of memory")
        return forward(**states)

    async def run() -> str:
        model, request = BatchedModel(engine), Request("Q: Is it?", max_tokens=4)
        monkeypatch.setattr(engine.model, "forward", breaks)
        with pytest.raises(RuntimeError, match="out of memory"):
            await model.complete(request, [0])
        monkeypatch.undo()
        (made,) = await model.complete(request, [0])
        await model.close()
        return made.text

    (expected,) = engine.generate([(Request("Q: Is it?", max_tokens=4), 0)])
    assert asyncio.run(run()) == expected.text
