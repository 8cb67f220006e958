"""Speed of the procedures at test time, on one student of the lab: what turns, a calculator and votes cost.

    .venv/bin/python benchmarks/methods/speed.py            # about 4 minutes on one core; results in README.md

Socratic CoT (two models in turn) against plain CoT of the same model, in milliseconds per generated token over all questions; the
calculator's decode-time rule against decoding without it, at batch 32, interleaved, medians of `--repeats`. Times are processor
seconds of the whole process, so that a machine shared with others gives usable figures.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cotdistill.answers.number import Number
from cotdistill.arithmetic import find_equations
from cotdistill.asking import Asker
from cotdistill.batching import BatchedModel
from cotdistill.concurrency import stream_map
from cotdistill.contracts import Ask, Engine, Method, Strategy
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.records import Answer, Question
from cotdistill.strategies.calculator import Calculator
from cotdistill.strategies.greedy import Greedy
from cotdistill.students.loading import load_student
from cotdistill.students.settings import StudentSettings, TrainSettings
from cotdistill.students.train import train_role
from cotdistill.tasks.word_problems import WordProblems

KIND = Number()


def train(method: Method, questions: Sequence[Question], student: StudentSettings, folder: Path) -> dict[str, Path]:
    """A checkpoint per role, trained briefly on gold: enough to write well-formed steps."""

    async def annotated() -> list[tuple[Question, object]]:
        return [(q, one) for q in questions for one in await method.annotate(q, Asker({}), KIND)]

    pairs = asyncio.run(annotated())
    settings = TrainSettings(epochs=2, batch_size=16, learning_rate=1.5e-3, selection="last")
    checkpoints = {}
    for role in method.rounds[0]:
        examples = [e for q, one in pairs for e in method.examples(q, one) if e.role == role]  # type: ignore[arg-type]
        checkpoints[role] = train_role(examples, student, settings, folder / role, seed=0).checkpoint
    return checkpoints


async def answer(
    method: Method, strategy: Strategy, questions: Sequence[Question], engines: Mapping[str, Engine]
) -> tuple[float, list[Answer]]:
    """Processor seconds and answers for all questions at once."""
    models = {role: BatchedModel(engine, rules=strategy.rules) for role, engine in engines.items()}
    async with Asker(models) as ask:

        async def solve(question: Question, ask: Ask) -> Answer:
            return await method.solve(question, ask, KIND)

        async def one(question: Question) -> Answer:
            return await strategy.run(solve, question, ask, KIND)

        started = time.process_time()
        answers = [found async for _, found in stream_map(one, questions, 512)]
        return time.process_time() - started, answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="lab")
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    student, task = StudentSettings(model=options.student), WordProblems()
    training = list(task.questions("train"))[: options.train]
    questions = list(task.questions("test"))[: options.questions]
    with tempfile.TemporaryDirectory() as place:
        plain, turns = FineTuneCot(source="gold"), SocraticCot(source="gold")
        cot = train(plain, training, student, Path(place) / "plain")
        socratic = train(turns, training, student, Path(place) / "socratic")
        costs: dict[str, list[float]] = {"plain CoT": [], "Socratic CoT": []}
        rates: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(options.repeats):
            # Engines keep what they computed: a repeat on the same ones would not compute its prompts.
            load = {
                role: load_student(TransformersEngine(), student, path) for role, path in {**cot, **socratic}.items()
            }
            small = TransformersEngine(batch_size=32, prefix_megabytes=0)
            for name, method in (("plain CoT", plain), ("Socratic CoT", turns)):
                seconds, answers = asyncio.run(answer(method, Greedy(), questions, load))
                costs[name].append(1000 * seconds / sum(one.completion_tokens for one in answers))
            for name, strategy in (("without", Greedy()), ("with", Calculator())):
                fresh = {"student": load_student(small, student, cot["student"])}
                seconds, answers = asyncio.run(answer(plain, strategy, questions[:256], fresh))
                rates[name].append(sum(one.completion_tokens for one in answers) / seconds)
            equations = [e for one in answers for e in find_equations(one.text) if e.calculates]
    per_token = {name: statistics.median(values) for name, values in costs.items()}
    speed = {name: statistics.median(values) for name, values in rates.items()}
    for name, value in per_token.items():
        print(f"{name:14} {value:.4f} ms per generated token, {len(questions)} questions")
    print(f"Socratic / plain: {per_token['Socratic CoT'] / per_token['plain CoT']:.2f}× per token")
    print(f"tokens/s at batch 32: {speed['without']:.0f} without the calculator, {speed['with']:.0f} with it")
    print(f"calculator: {100 * (1 - speed['with'] / speed['without']):+.1f} % slower")
    print(f"equations completed: {len(equations)}, wrong: {sum(e.result_wrong for e in equations)}")


if __name__ == "__main__":
    main()
