"""Who asked what: what a process that died had in flight, and what of it is in no log.

The endpoint (`--note-clients`) notes every request with the process that sent it, whether it was
answered, and when the last connection of each process ended. A request is in flight from its
arrival there until its completion is committed: the log has the time of each commit. What a process
had in flight when it ended is what it asked and no log had by then.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections import Counter
from collections.abc import Collection
from typing import Any

import aiohttp

from cotdistill.contracts import Model
from cotdistill.model.completion_log import CompletionLog
from cotdistill.runs.run import Run
from cotdistill.teachers._endpoint import Endpoint
from cotdistill.teachers._model import EndpointModel
from cotdistill.teachers.openai import OpenAI

# The number of a question that `bench.recipe` wrote; the prompt around it is the method's.
_NUMBER = re.compile(r"train basket ([0-9]{1,9})\?")


class _NamedEndpoint(Endpoint):
    def _open(self) -> aiohttp.ClientSession:
        session = super()._open()
        session.headers["X-Client"] = str(os.getpid())
        return session


class Named(OpenAI):
    """The endpoint `openai`, told by each request which process sends it."""

    def open(self) -> Model:
        """Return the live model."""
        return EndpointModel(self, _NamedEndpoint(self))


def seen_by(port: int) -> Any:
    """What the endpoint noted of its clients."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/clients") as reply:
        return json.load(reply)


def account(run: Run, port: int, dead: Collection[int]) -> dict[str, Any]:
    """What the dead processes had in flight when they ended, and what was asked again.

    "not in flight of these": asked again though no dead process had it in flight; should be 0.
    """
    seen = seen_by(port)
    with CompletionLog(run.log, read_only=True) as log:
        kept = {_number(json.dumps(one.request)): one.arrived for one in log.entries()}
    asked, flying, answered = Counter[int](), Counter[int](), 0
    for one in seen["requests"]:
        number, ended = _number(one["prompt"]), seen["left"].get(one["client"], float("inf"))
        asked[number] += 1
        if int(one["client"]) in dead and kept.get(number, float("inf")) > ended:
            flying[number] += 1
            answered += one["answered"]
    again = Counter({number: times - 1 for number, times in asked.items()})
    return {
        "completions": len(kept),
        "dead": len({int(one["client"]) for one in seen["requests"]} & set(dead)),
        "in flight of these": flying.total(),
        "of them answered, in no log": answered,
        "asked again": again.total(),
        "not in flight of these": (again - flying).total(),
    }


def _number(text: str) -> int:
    return int(_NUMBER.findall(text)[-1])
