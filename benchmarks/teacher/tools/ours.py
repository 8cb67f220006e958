"""cotdistill: generate through the durable log, as a run does. Prints one line of JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp  # noqa: F401  (imported before the clock starts, as in the other tools)

import cotdistill.teachers._model  # noqa: F401
from cotdistill.contracts import AnswerType, Ask, Method, Model
from cotdistill.errors import CotdistillError
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.records import Question, Rationale
from cotdistill.stages.generate import generate_rationales
from cotdistill.teachers.openai import OpenAI
from cotdistill.teachers.scripted import Scripted
from cotdistill.util.concurrency import run_async


class OneCall(Method):
    """One request per question."""

    samples: int = 1

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        """Ask once, for `samples` completions."""
        completions = await ask(
            f"Q: {question.text}\nA: Let's think step by step.",
            samples=self.samples,
            temperature=0.7,
        )
        return [
            Rationale(question.id, c.text, None, c.sample_index, keys=(c.key,)) for c in completions
        ]


def questions(count: int) -> Iterator[Question]:
    """Made one by one: nothing of their number is in memory."""
    return (
        Question(str(n), f"Number {n}: how many apples are in the basket of the third girl?")
        for n in range(count)
    )


async def main(options: dict[str, Any]) -> dict[str, Any]:
    """Run as told and report what happened."""
    folder = Path(options["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    teacher: Model
    if options["base_url"]:
        settings = {
            "max_concurrency": options["max_concurrency"],
            "timeout_s": options.get("timeout_s", 300.0),
        }
        teacher = OpenAI(model="m", base_url=options["base_url"], **settings).open()
    else:
        teacher = Scripted().open()
    began, processor = time.perf_counter(), time.process_time()
    report: dict[str, Any] = {}
    with (
        CompletionLog(folder / "completions.sqlite")
        if options.get("log", True)
        else _NoLog() as log
    ):
        async with ModelClient({"teacher": teacher}, log) as ask:
            method = OneCall(samples=options.get("samples", 1))
            try:
                counts = await generate_rationales(
                    questions(options["count"]),
                    method,
                    ask,
                    AnswerType(),
                    folder / "rationales.jsonl",
                    max_concurrency=512,  # questions at a time: the recipe's default
                )
                report = {"answered": counts.rationales, "failed": dict(counts.failures.counts)}
            except CotdistillError as error:
                report = {"error": str(error)}
            report["ledger"] = ask.ledger.to_json()
    return {
        **report,
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - processor,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class _NoLog:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None


if __name__ == "__main__":
    print(json.dumps(run_async(main(json.loads(sys.argv[1])))))
