"""Reads and compares a million answers (numbers and choices, as models write them) in one process;
rate and memory.

    python benchmarks/evaluation/answers_per_second.py            # 1,000,000 answers
    python benchmarks/evaluation/answers_per_second.py 100000

Prints answers per second of wall clock and of processor time, and the growth of resident memory
after the first tenth. A shared machine makes the wall clock slower than the processor time; the
target of 50,000/s is meant for a core of one's own.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cotdistill.answers.choice import Choice
from cotdistill.answers.number import Number
from cotdistill.evaluation.grid import grade
from cotdistill.records import Answer, Question, Verdict

_NUMBERS = (
    "She has {a} + {b} apples, which is {a} + {b} = {c}. She gives none away. --> {c}",
    (
        "There are {a} cups and {b} plates. Together these are {a} + {b} = {c} things. The answer "
        "is {c}."
    ),
    "First, {a} dollars are spent, then {b} more.\nSo the total is ${c:,}.00.\n#### {c}",
    " {c}.",
    "We add {a} to {b} and get \\boxed{{{c}}}.",
    "Adding {b} to {a} leaves us with {c} marbles.",
)
_CHOICES = (
    "A {w} is the only thing here that fits. Therefore, the answer is ({x}).",
    " {x}.",
    "({y}) is not right, since it is too small. The answer is ({x}) {w}.",
    "Of these, the {w} holds the most water. The answer is {w}.",
    "The answer is ({x}) {w}.",
)
_WORDS = ("pond", "forest", "river", "rural area", "desk drawer")


def answers(count: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Texts with their gold answer and options, half numbers and half choices, each drawn from its
    own seed."""
    draw = random.Random(0)
    for index in range(count):
        if index % 2:
            position = draw.randrange(5)
            letter, other = "ABCDE"[position], "ABCDE"[position - 1]
            yield (
                draw.choice(_CHOICES).format(x=letter, y=other, w=_WORDS[position]),
                letter,
                _WORDS,
            )
        else:
            a, b = draw.randrange(1, 900), draw.randrange(1, 9000)
            yield draw.choice(_NUMBERS).format(a=a, b=b, c=a + b), str(a + b), ()


def resident_mib() -> float:
    return (
        int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 2**20
    )


def main(count: int) -> None:
    number, choice = Number(), Choice()
    seconds = processor = 0.0
    correct = done = 0
    after_tenth = 0.0
    batch: list[tuple[str, str, tuple[str, ...]]] = []
    for item in answers(count):
        batch.append(item)
        if len(batch) < 10_000 and done + len(batch) < count:
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        for text, gold, options in batch:
            kind = choice if options else number
            answer = Answer("q", kind.extract(text, options=options), text)
            correct += grade(kind, Question("q", "?", gold, options), answer) is Verdict.CORRECT
        seconds, processor = (
            seconds + time.perf_counter() - wall,
            processor + time.process_time() - cpu,
        )
        done += len(batch)
        batch.clear()
        if not after_tenth and done >= count / 10:
            after_tenth = resident_mib()
    result = {
        "answers": count,
        "correct": correct,
        "answers_per_second": round(count / seconds),
        "answers_per_processor_second": round(count / processor),
        "memory_growth_mib": round(resident_mib() - after_tenth, 2),
        "resident_mib": round(resident_mib(), 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
