"""What it costs to keep several examples of one question in a batch: accuracy of the lab student by size of the packs.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/student/packs.py --packs 1 2 4 --seeds 0

1,000 word problems × 4 wordings of the gold rationale, batch 16, 2 epochs, lr 1.5e-3; 200 test questions, greedy. About
two processor minutes per training.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path

from cotdistill.contracts import Task
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.lab.problem import problem_at
from cotdistill.lab.word_problems import draw
from cotdistill.plugins import build
from cotdistill.records import Example, Request
from cotdistill.students.loading import load_student
from cotdistill.students.settings import StudentSettings, TrainSettings
from cotdistill.students.train import train_role

STUDENT = StudentSettings(model="lab")


def examples() -> list[Example]:
    made = []
    for number in range(1_000):
        problem, _ = problem_at(draw, "word_problems", "train", number, 0)
        for steps in problem.solutions:
            made.append(
                Example(
                    "student",
                    problem.text,
                    f"{' '.join(steps)} --> {problem.answer}",
                    group=str(number),
                )
            )
    return made


def accuracy(checkpoint: Path) -> float:
    task = build("tasks", "word_problems", Task)
    questions = list(islice(task.questions("test"), 200))
    engine = load_student(TransformersEngine(), STUDENT, checkpoint)
    completions = engine.generate(
        [(Request(question.text, max_tokens=160), 0) for question in questions]
    )
    kind = task.answer_type
    right = [
        kind.same(kind.extract(completion.text, markers=("-->",)), question.answer)
        for completion, question in zip(completions, questions, strict=True)
    ]
    return sum(right) / len(right)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--packs", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    data = examples()
    for pack in options.packs:
        for seed in options.seeds:
            train = TrainSettings(
                epochs=2, batch_size=16, learning_rate=1.5e-3, selection="last", pack=pack
            )
            with tempfile.TemporaryDirectory() as folder:
                began = time.process_time()
                result = train_role(data, STUDENT, train, Path(folder) / "out", seed)
                seconds = time.process_time() - began
                right = accuracy(result.checkpoint)
            print(
                f"packs of {pack}, seed {seed}: {100 * right:.1f} % after {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
