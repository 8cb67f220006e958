"""The bare HTTP client, nothing kept: what aiohttp alone does with the same requests on the same
event loop. Prints one line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp

from cotdistill.util.concurrency import run_async


async def main(options: dict[str, Any]) -> dict[str, Any]:
    """So many requests, so many at a time."""
    url = options["base_url"] + "/chat/completions"
    numbers = iter(range(options["count"]))
    answered = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        for number in numbers:
            text = (
                f"Q: Number {number}: how many apples are in the basket of the third "
                "girl?\nA: Let's think step by step."
            )
            body = {
                "model": "m",
                "messages": [{"role": "user", "content": text}],
                "temperature": 0.7,
                "max_tokens": 256,
            }
            async with session.post(url, json=body) as response:
                reply = await response.json()
            answered += bool(reply["choices"][0]["message"]["content"])

    began, processor = time.perf_counter(), time.process_time()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(work(session) for _ in range(options["max_concurrency"])))
    seconds = time.perf_counter() - began
    return {
        "answered": answered,
        "seconds": seconds,
        "processor_seconds": time.process_time() - processor,
    }


if __name__ == "__main__":
    print(json.dumps(run_async(main(json.loads(sys.argv[1])))))
