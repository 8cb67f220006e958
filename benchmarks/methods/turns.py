"""What turns cost a real student: Socratic CoT against plain CoT per generated token, in processor
time, on texts of real lengths.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/methods/turns.py \\
        --questions ../shared/data/benchmarks/gsm8k/test_socratic.jsonl --count 32

Nothing is trained. The student, any checkpoint, reads every prompt that the method makes and writes
as many tokens as the gold reply has (drawn hot, so that it does not end before); then the gold
reply takes the place of what it wrote. Turns, prompts and batches are those of a run: the method,
the batcher and the engine are the library's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotdistill.answers.number import Number
from cotdistill.contracts import Method
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.methods.socratic_cot import DONE, SocraticCot
from cotdistill.model.batcher import BatchedModel
from cotdistill.prompting.base import STUDENT_MARKER
from cotdistill.records import Completion, Question, Request
from cotdistill.students.transformers import TransformersStudent


def turns(row: dict[str, str]) -> Iterator[str]:
    """Yield the replies of decomposer and solver in turn, for a row of GSM8K's Socratic form."""
    for line in row["answer"].splitlines()[:-1]:
        asked, _, solved = line.partition(" ** ")
        yield asked
        yield f"{solved} {STUDENT_MARKER} {solved.split()[-1]}"
    yield DONE


def whole(row: dict[str, str]) -> Iterator[str]:
    """Yield the one reply of plain CoT."""
    lines = [line.partition(" ** ")[2] for line in row["answer"].splitlines()[:-1]]
    yield f"{' '.join(lines)} {STUDENT_MARKER} {row['answer'].rpartition('#### ')[2]}"


async def per_token(
    method: Method, replies: Any, rows: list[dict[str, str]], models: dict[str, BatchedModel]
) -> tuple[float, int, int]:
    """Return processor seconds, generated tokens and prompt tokens of all questions at once."""
    counts = [0, 0]

    async def solve(number: int, row: dict[str, str]) -> None:
        waiting = replies(row)

        async def ask(prompt: Any, *, role: str = "student", **settings: Any) -> list[Completion]:
            gold = next(waiting)
            length = len(tokenizer(" " + gold)["input_ids"]) + 1
            request = Request(prompt, temperature=2.0, max_tokens=length)
            (made,) = await models[role].complete(request, [0])
            counts[0] += made.completion_tokens
            counts[1] += made.prompt_tokens
            return [replace(made, text=gold)]

        await method.solve(Question(str(number), row["question"], "0"), ask, Number())

    engine: Any = next(iter(models.values()))._engine
    tokenizer = engine.codec.tokenizer
    began = time.process_time()
    await asyncio.gather(*(solve(number, row) for number, row in enumerate(rows)))
    return time.process_time() - began, counts[0], counts[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--questions", type=Path, required=True, help="GSM8K's Socratic form")
    parser.add_argument("--student", default="smollm2")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    rows = [json.loads(one) for one in options.questions.read_text("utf-8").splitlines()]
    student, form = TransformersStudent(model=options.student), TransformersEngine()
    form = form.model_copy(update={"dtype": options.dtype})
    # Decomposer and solver are two models, which share nothing.
    engines = {
        role: student.engine(Path(options.student), form)
        for role in ("student", "decomposer", "solver")
    }
    for _ in range(options.repeats):
        costs = list[float]()
        for name, method, replies in (
            ("plain CoT", FineTuneCot(), whole),
            ("Socratic CoT", SocraticCot(), turns),
        ):
            models = {role: BatchedModel(engine) for role, engine in engines.items()}
            part = rows[: options.count]
            seconds, made, read = asyncio.run(per_token(method, replies, part, models))
            costs.append(1000 * seconds / made)
            print(
                f"{name:12} {costs[-1]:6.2f} ms a generated token; {made:,} generated, "
                f"{read:,} of prompts, {seconds:.1f} s",
                flush=True,
            )
        print(f"Socratic / plain {costs[1] / costs[0]:.2f}", flush=True)


if __name__ == "__main__":
    main()
