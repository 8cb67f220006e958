"""Batch mode against the simulated Batch API: partial failures, and a process that is killed while
a batch runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.errors import FatalTeacherError
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Ledger
from cotdistill.records import Question, Rationale
from cotdistill.stages.generate import GenerateCounts, generate_rationales
from cotdistill.teachers.openai import OpenAI

Start = Callable[..., Any]


class TwoSamples(Method):
    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        completions = await ask(f"Q: {question.text}\nA:", samples=2, temperature=0.7)
        return [Rationale(question.id, c.text, None, c.sample_index) for c in completions]


def generate(
    base_url: str, folder: Path, count: int = 40, **settings: Any
) -> tuple[GenerateCounts, Ledger]:
    teacher = OpenAI(
        model="m", base_url=base_url, batch=True, batch_gather_s=0.1, batch_poll_s=0.05, **settings
    )

    async def main() -> tuple[GenerateCounts, Ledger]:
        questions = (Question(f"q/{n}", f"number {n}") for n in range(count))
        with CompletionLog(folder / "completions.sqlite") as log:
            async with ModelClient({"teacher": teacher.open()}, log) as ask:
                counts = await generate_rationales(
                    questions, TwoSamples(), ask, AnswerType(), folder / "r.jsonl"
                )
            assert log.notes("upload/") == {}
            return counts, ask.ledger

    return asyncio.run(main())


def test_all_requests_go_in_one_batch_and_are_not_sent_again(
    simulated: Start, tmp_path: Path
) -> None:
    endpoint = simulated()
    counts, ledger = generate(endpoint.base_url, tmp_path)
    assert counts == GenerateCounts(40, 80)
    assert ledger.roles["teacher"].completions == 80
    generate(endpoint.base_url, tmp_path)
    seen = endpoint.stats()["seen"]
    assert (seen["batches"], seen["batch requests"], seen.get("requests", 0)) == (1, 40, 0)


def test_large_jobs_are_cut_into_batches(simulated: Start, tmp_path: Path) -> None:
    endpoint = simulated()
    counts, _ = generate(endpoint.base_url, tmp_path, batch_size=15)
    assert counts.rationales == 80
    assert endpoint.stats()["seen"]["batches"] == 3


def test_what_failed_goes_into_the_next_batch(simulated: Start, tmp_path: Path) -> None:
    endpoint = simulated("--share-500", "0.3", "--batch-seconds", "0")
    counts, ledger = generate(endpoint.base_url, tmp_path, retries=12)
    assert counts == GenerateCounts(40, 80)
    assert ledger.events["retried: server error"] > 3
    assert endpoint.stats()["seen"]["batches"] > 1


def test_what_fails_in_every_batch_is_listed(simulated: Start, tmp_path: Path) -> None:
    counts, _ = generate(simulated("--share-500", "1").base_url, tmp_path, 3, retries=1)
    assert (counts.failures.counts, counts.failures.transient) == ({"server error": 3}, 3)


def test_an_endpoint_without_batches_says_so(simulated: Start, tmp_path: Path) -> None:
    with pytest.raises(FatalTeacherError, match="HTTP 404"):
        generate(simulated().base_url + "/none/x", tmp_path, 3)


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test__batches import generate
generate(sys.argv[2], Path(sys.argv[3]))
"""


def test_a_batch_of_a_killed_process_is_found_again(simulated: Start, tmp_path: Path) -> None:
    endpoint = simulated("--batch-seconds", "4")
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(Path(__file__).parent),
        endpoint.base_url,
        str(tmp_path),
    ]
    job = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not endpoint.stats()["seen"].get("batches") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    job.kill()
    job.wait()
    counts, _ = generate(endpoint.base_url, tmp_path)
    assert counts == GenerateCounts(40, 80)
    seen = endpoint.stats()["seen"]
    assert (seen["batches"], seen["batch requests"]) == (1, 40)


def test_a_batch_whose_start_was_not_noted_is_found_by_its_file(
    simulated: Start, tmp_path: Path
) -> None:
    endpoint = simulated()
    generate(endpoint.base_url, tmp_path)
    with CompletionLog(tmp_path / "completions.sqlite") as log:
        ids = _custom_ids(endpoint)
        log.note("batch/batch-0", None)
        log.note("upload/file-0", {"base_url": endpoint.base_url, "ids": ids, "at": time.time()})
        log.note("upload/file-9", {"base_url": endpoint.base_url, "ids": ["x"], "at": time.time()})
        log.prune()
    counts, _ = generate(endpoint.base_url, tmp_path)
    assert counts == GenerateCounts(40, 80)
    assert endpoint.stats()["seen"]["batches"] == 1


def test_replies_of_an_earlier_batch_are_had_again_when_the_log_lost_them(
    simulated: Start, tmp_path: Path
) -> None:
    endpoint = simulated()
    generate(endpoint.base_url, tmp_path)
    with CompletionLog(tmp_path / "completions.sqlite") as log:
        log.prune()
    counts, _ = generate(endpoint.base_url, tmp_path, 45)
    assert counts == GenerateCounts(45, 90)
    assert endpoint.stats()["seen"]["batch requests"] == 45


def _custom_ids(endpoint: Any) -> list[str]:
    import urllib.request

    with urllib.request.urlopen(f"{endpoint.base_url}/files/file-0/content") as reply:
        return [json.loads(line)["custom_id"] for line in reply.read().splitlines()]
