"""Speed of the procedures at test time, on one student of the lab: what turns, a calculator and
votes cost.

    .venv/bin/python benchmarks/methods/speed.py            # about 10 minutes; results in README.md

Socratic CoT (two models in turn) against plain CoT of the same model, in milliseconds per generated
token over all questions; the calculator's decode-time rule against decoding without it, at batch
32: the decoding loop alone (32 questions a pair, seconds of its thread), and the whole strategy
with its check of what was written (256 questions a pair). Figures are medians, those of comparisons
over pairs measured one right after the other in changing order. Times are processor seconds, so
that a machine shared with others gives usable figures; single pairs still scatter widely there.
Turns are also timed by the clock, which only a quiet machine makes worth reading: there the two
models of Socratic CoT work side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cotdistill.answers.number import Number
from cotdistill.contracts import Ask, Engine, Method, Strategy, TrainSettings
from cotdistill.engines.transformers import ModelEngine, TransformersEngine
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.client import ModelClient
from cotdistill.records import Answer, Completion, Question, Rationale, Request
from cotdistill.strategies.calculator import Calculator
from cotdistill.strategies.greedy import Greedy
from cotdistill.students.transformers import TransformersStudent
from cotdistill.tasks.word_problems import WordProblems
from cotdistill.testing.tiny import train_on
from cotdistill.text.arithmetic import find_equations
from cotdistill.util.concurrency import stream_map

KIND = Number()
Compared = TypeVar("Compared")


def train(
    method: Method, questions: Sequence[Question], student: TransformersStudent, folder: Path
) -> dict[str, Path]:
    """A checkpoint per role, trained briefly on gold: enough to write well-formed steps."""

    async def annotated() -> list[tuple[Question, Rationale]]:
        return [
            (q, one) for q in questions for one in await method.annotate(q, ModelClient({}), KIND)
        ]

    pairs = asyncio.run(annotated())
    settings = TrainSettings(epochs=2, batch_size=16, learning_rate=1.5e-3, selection="last")
    checkpoints = {}
    for role in method.rounds[0]:
        examples = [e for q, one in pairs for e in method.examples(q, one) if e.role == role]
        checkpoints[role] = folder / role
        train_on(examples, student, settings, folder / role)
    return checkpoints


async def answer(
    method: Method, strategy: Strategy, questions: Sequence[Question], engines: Mapping[str, Engine]
) -> tuple[float, float, list[Answer]]:
    """Processor seconds, seconds by the clock, and answers for all questions at once."""
    models = {role: BatchedModel(engine, rules=strategy.rules) for role, engine in engines.items()}
    async with ModelClient(models) as ask:

        async def solve(question: Question, ask: Ask) -> Answer:
            return await method.solve(question, ask, KIND)

        async def one(question: Question) -> Answer:
            return await strategy.run(solve, question, ask, KIND)

        started, clock = time.process_time(), time.perf_counter()
        answers = [found async for _, found in stream_map(one, questions, 512)]
        return time.process_time() - started, time.perf_counter() - clock, answers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", default="lab")
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    student, task = TransformersStudent(model=options.student), WordProblems()
    training = list(task.questions("train"))[: options.train]
    questions = list(task.questions("test"))[: options.questions]
    with tempfile.TemporaryDirectory() as place:
        plain, turns = FineTuneCot(source="gold"), SocraticCot(source="gold")
        cot = train(plain, training, student, Path(place) / "plain")
        socratic = train(turns, training, student, Path(place) / "socratic")
        costs: list[dict[str, float]] = []
        clocks: list[dict[str, float]] = []
        rates: list[dict[str, float]] = []
        whole: list[dict[str, float]] = []
        equations = []
        for repeat in range(options.repeats):
            load = {
                role: student.engine(path, TransformersEngine())
                for role, path in {**cot, **socratic}.items()
            }
            cost, clock = {}, {}
            for name, method in swapped([("plain CoT", plain), ("Socratic CoT", turns)], repeat):
                seconds, elapsed, answers = asyncio.run(answer(method, Greedy(), questions, load))
                tokens = sum(one.completion_tokens for one in answers)
                cost[name], clock[name] = 1000 * seconds / tokens, 1000 * elapsed / tokens
            costs.append(cost)
            clocks.append(clock)
            small = TransformersEngine(batch_size=32)
            fresh = {"student": student.engine(cot["student"], small)}
            rates += loop_rates(student.engine(cot["student"], small), questions[:256], repeat)
            rate = {}
            for name, strategy in swapped([("without", Greedy()), ("with", Calculator())], repeat):
                seconds, _, answers = asyncio.run(answer(plain, strategy, questions[:256], fresh))
                rate[name] = sum(one.completion_tokens for one in answers) / seconds
                if name == "with":
                    equations += [
                        e for one in answers for e in find_equations(one.text) if e.calculates
                    ]
            whole.append(rate)
    for measure, measured in (("processor", costs), ("clock", clocks)):
        for name in ("plain CoT", "Socratic CoT"):
            print(
                f"{measure}: {name:12} {median(measured, name):.4f} ms per generated token, "
                f"{len(questions)} questions"
            )
        ratios = sorted(one["Socratic CoT"] / one["plain CoT"] for one in measured)
        middle = statistics.median(ratios)
        print(
            f"{measure}: Socratic / plain {middle:.2f}× per token ({ratios[0]:.2f} to "
            f"{ratios[-1]:.2f})"
        )
    print(
        f"tokens/s at batch 32: {median(rates, 'without'):.0f} without, "
        f"{median(rates, 'with'):.0f} with the calculator"
    )
    for name, measured in (("decoding loop", rates), ("with all around it", whole)):
        slower = sorted(100 * (1 - one["with"] / one["without"]) for one in measured)
        middle = statistics.median(slower)
        print(
            f"calculator, {name}: {middle:.1f} % slower, {len(slower)} pairs ({slower[0]:.1f} "
            f"to {slower[-1]:.1f})"
        )
    print(f"equations completed: {len(equations)}, wrong: {sum(e.result_wrong for e in equations)}")


def loop_rates(engine: Engine, questions: Sequence[Question], turn: int) -> list[dict[str, float]]:
    """Tokens a second of the decoding loop alone with and without the calculator's rule, 32
    questions at a time."""
    assert isinstance(engine, ModelEngine)
    rates = []
    for first in range(0, len(questions), 32):
        batch = [(Request(one.block), 0) for one in questions[first : first + 32]]
        rate = {}
        for name, strategy in swapped(
            [("without", Greedy()), ("with", Calculator())], turn + first // 32
        ):
            started = time.thread_time()
            completions = engine.generate(batch, strategy.rules)
            tokens = sum(
                one.completion_tokens for one in completions if isinstance(one, Completion)
            )
            rate[name] = tokens / (time.thread_time() - started)
        rates.append(rate)
    return rates


def swapped(pair: list[tuple[str, Compared]], turn: int) -> list[tuple[str, Compared]]:
    """Both, the other first in every second turn."""
    return pair[::-1] if turn % 2 else pair


def median(measured: Sequence[Mapping[str, float]], name: str) -> float:
    """The middle one of what was measured under a name."""
    return statistics.median(one[name] for one in measured)


if __name__ == "__main__":
    main()
