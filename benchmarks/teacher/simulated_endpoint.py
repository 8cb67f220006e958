"""An OpenAI-compatible endpoint on loopback that thinks for a set time and fails as often as it is
told to.

    python benchmarks/teacher/simulated_endpoint.py --latency 0.05 --share-429 0.05 --retry-after 1

prints its port on the first line and serves /v1/chat/completions, /v1/completions, /v1/models,
/v1/files and /v1/batches until it is ended. `GET /stats` tells what it has seen. Replies are a pure
function of the prompt. One asyncio.Protocol per connection, no framework: about 30 microseconds of
processor time a request, so that it is not what is measured. Needs the standard library only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import math
import random
import time
from collections import Counter, deque
from typing import Any

FILLER = (
    " First write down what is known and what is asked. Then take one quantity after the other, in"
    " the order of the story, and keep the running result in sight. Each step uses the result of"
    " the step before it, and every number that is used stands in the question or was worked out"
    " already. Check the units at the end and the sign as well."
) * 2
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many Requests",
}


class Behaviour:
    """How the endpoint behaves, and what it has seen."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.seen: Counter[str] = Counter()
        self.prompts: Counter[bytes] = Counter()
        self.max_concurrency = 0
        self.most_in_flight = 0
        self.recent: deque[float] = deque()
        self.arrivals: list[float] = []
        self.noted: list[dict[str, Any]] = []
        self.left: dict[str, float] = {}
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.faults = [
            ("429", options.share_429),
            ("500", options.share_500),
            ("reset", options.share_reset),
            ("hang", options.share_hang),
            ("truncated", options.share_truncated),
            ("empty", options.share_empty),
            ("wrong type", options.share_wrong_type),
        ]
        self.faulty = any(share for _, share in self.faults)

    def delay(self) -> float:
        spread = self.options.spread
        if not spread:
            return float(self.options.latency)
        return float(self.options.latency) * math.exp(self.random.gauss(0, spread))

    def fault(self) -> str:
        limit = self.options.requests_per_minute
        if limit:
            now = time.monotonic()
            while self.recent and self.recent[0] < now - 60:
                self.recent.popleft()
            if len(self.recent) >= limit:
                return "429"
            self.recent.append(now)
        if not self.faulty:
            return ""
        at = self.random.random()
        for name, share in self.faults:
            at -= share
            if at < 0:
                return name
        return ""

    def reply(self, body: dict[str, Any], chat: bool) -> bytes:
        """The response body for a request: as many choices as asked for, usage with the prompt
        counted once."""
        text = prompt_of(body)
        digest = hashlib.md5(text.encode("utf-8", "surrogatepass")).hexdigest()
        count = min(int(body.get("n") or 1), self.options.most_choices)
        written = f" This is {digest}.{FILLER} The answer is {int(digest[:4], 16) % 100}."
        if body.get("max_tokens") and body["max_tokens"] < 20:
            written = f" {int(digest[:4], 16) % 100}."
        choices = []
        for index in range(count):
            own = written if index == 0 else f" Again ({index}).{written}"
            finish: dict[str, Any] = {"index": index, "finish_reason": "stop", "logprobs": None}
            choices.append(
                {**finish, "message": {"role": "assistant", "content": own}}
                if chat
                else {**finish, "text": own}
            )
        words, prompt_words = len(written) // 5, len(text) // 5 + 1
        self.seen["tokens"] += prompt_words + words * count
        return json.dumps(
            {
                "id": "sim-" + digest[:12],
                "object": "chat.completion" if chat else "text_completion",
                "created": 0,
                "model": body.get("model", "simulated"),
                "choices": choices,
                "usage": {
                    "prompt_tokens": prompt_words,
                    "completion_tokens": words * count,
                    "total_tokens": prompt_words + words * count,
                },
            }
        ).encode()

    def stats(self) -> dict[str, Any]:
        repeated = {key.decode(): n for key, n in self.prompts.items() if n > 1}
        return {
            "seen": self.seen,
            "different": len(self.prompts),
            "repeated": sum(repeated.values()) - len(repeated),
            "most_in_flight": self.most_in_flight,
            "arrivals": self.arrivals,
        }


def prompt_of(body: dict[str, Any]) -> str:
    """The prompt of a request as one text."""
    if "messages" in body:
        return "\n".join(str(message["content"]) for message in body["messages"])
    return str(body.get("prompt", ""))


class Connection(asyncio.Protocol):
    """One client connection: parses requests, answers each after its delay."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.buffer = b""
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.behaviour.seen["connections"] += 1

    def connection_lost(self, error: Exception | None) -> None:
        if self.client:
            self.behaviour.left[self.client] = time.time()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                if b"100-continue" in head:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            line, body = (
                self.buffer[: self.buffer.find(b"\r\n")],
                self.buffer[end + 4 : end + 4 + length],
            )
            head = self.buffer[:end]
            self.buffer = self.buffer[end + 4 + length :]
            method, path, _ = line.split(b" ", 2)
            self.handle(method, path.split(b"?")[0], head, body)

    def handle(self, method: bytes, path: bytes, head: bytes, body: bytes) -> None:
        behaviour = self.behaviour
        key = behaviour.options.key
        if key and f"authorization: bearer {key}".encode() not in head.replace(
            b"Authorization", b"authorization"
        ).replace(b"Bearer", b"bearer"):
            given = head.lower().partition(b"bearer ")[2].split(b"\r\n")[0].decode()
            self.send(401, error_body(f"Incorrect API key provided: {given}.", "invalid_api_key"))
        elif path.endswith(b"/completions"):
            if behaviour.options.note_clients:
                self.client = head.lower().partition(b"x-client: ")[2].split(b"\r\n")[0].decode()
            self.complete(path.endswith(b"/chat/completions"), body)
        elif path == b"/clients":
            seen = {"requests": behaviour.noted, "left": behaviour.left}
            self.send(200, json.dumps(seen).encode())
        elif path == b"/stats":
            self.send(200, json.dumps(behaviour.stats()).encode())
        elif path.endswith(b"/models"):
            self.send(
                200,
                json.dumps(
                    {"object": "list", "data": [{"id": "simulated", "object": "model"}]}
                ).encode(),
            )
        elif path.startswith((b"/v1/files", b"/v1/batches")):
            self.batch_api(method, path, body)
        else:
            self.send(404, error_body(f"no such path {path.decode()}", "not_found"))

    def complete(self, chat: bool, body: bytes) -> None:
        behaviour = self.behaviour
        behaviour.seen["requests"] += 1
        if behaviour.options.note_arrivals:
            behaviour.arrivals.append(time.monotonic())
        request = json.loads(body)
        if self.client:
            note = {"client": self.client, "prompt": prompt_of(request), "answered": False}
            behaviour.noted.append(note)
            request["note"] = note
        model = behaviour.options.model
        if model and request.get("model") != model:
            self.send(
                404,
                error_body(f"The model {request.get('model')!r} does not exist", "model_not_found"),
            )
            return
        if "too long" in prompt_of(request):
            self.send(
                400,
                error_body(
                    "This model's maximum context length is 8 tokens", "context_length_exceeded"
                ),
            )
            return
        fault = behaviour.fault()
        behaviour.seen[fault or "answered"] += 1
        if fault == "429":
            after = (
                f"Retry-After: {behaviour.options.retry_after}\r\n"
                if behaviour.options.retry_after
                else ""
            )
            self.send(429, error_body("Rate limit reached", "rate_limit_exceeded"), after)
            return
        if fault == "hang":
            return
        behaviour.max_concurrency += 1
        behaviour.most_in_flight = max(behaviour.most_in_flight, behaviour.max_concurrency)
        delay = behaviour.delay()
        if delay:
            self.loop.call_later(delay, self.finish, fault, request, chat, body)
        else:
            self.finish(fault, request, chat, body)

    def finish(self, fault: str, request: dict[str, Any], chat: bool, body: bytes) -> None:
        behaviour = self.behaviour
        behaviour.max_concurrency -= 1
        if fault == "reset":
            self.transport.abort()
        elif fault == "500":
            self.send(500, error_body("The server had an error", "server_error"))
        elif fault == "truncated":
            self.send(200, behaviour.reply(request, chat)[:-40])
        elif fault == "empty":
            self.send(
                200,
                json.dumps({"object": "chat.completion", "choices": [], "usage": None}).encode(),
            )
        elif fault == "wrong type":
            self.send(
                200,
                json.dumps({"object": "chat.completion", "choices": "none", "usage": 7}).encode(),
            )
        else:
            if behaviour.options.count_prompts and not self.transport.is_closing():
                behaviour.prompts[hashlib.md5(body).hexdigest()[:16].encode()] += 1
            if "note" in request:
                request["note"]["answered"] = not self.transport.is_closing()
            self.send(200, behaviour.reply(request, chat))

    def send(self, status: int, body: bytes, headers: str = "") -> None:
        if self.transport.is_closing():
            self.behaviour.seen["client gone"] += 1
            return
        self.transport.write(
            f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\n"
            f"Content-Type: application/json\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    def batch_api(self, method: bytes, path: bytes, body: bytes) -> None:
        """The four calls of the OpenAI Batch API that a client needs."""
        behaviour = self.behaviour
        parts = path.decode().strip("/").split("/")
        if method == b"POST" and parts[-1] == "files":
            name = f"file-{len(behaviour.files)}"
            boundary = body.split(b"\r\n", 1)[0]
            part = next(part for part in body.split(boundary) if b"filename=" in part)
            behaviour.files[name] = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
            self.send(200, json.dumps({"id": name, "object": "file"}).encode())
        elif method == b"POST" and parts[-1] == "batches":
            request = json.loads(body)
            name = f"batch-{len(behaviour.batches)}"
            behaviour.batches[name] = {
                "id": name,
                "input": request["input_file_id"],
                "ready": time.monotonic(),
            }
            behaviour.batches[name]["ready"] += behaviour.options.batch_seconds
            behaviour.seen["batches"] += 1
            self.send(200, json.dumps({"id": name, "status": "validating"}).encode())
        elif method == b"GET" and parts[-1] == "batches":
            listed = [
                {"id": batch["id"], "input_file_id": batch["input"]}
                for batch in behaviour.batches.values()
            ]
            self.send(200, json.dumps({"object": "list", "data": listed}).encode())
        elif parts[-2] == "batches" and parts[-1] in behaviour.batches:
            self.send(200, json.dumps(self.batch_state(behaviour.batches[parts[-1]])).encode())
        elif parts[-1] == "content" and parts[-2] in behaviour.files:
            self.send(200, behaviour.files[parts[-2]])
        else:
            self.send(404, error_body(f"no such object {path.decode()}", "not_found"))

    def batch_state(self, batch: dict[str, Any]) -> dict[str, Any]:
        if time.monotonic() < batch["ready"]:
            return {"id": batch["id"], "status": "in_progress"}
        if "output" not in batch:
            good, bad = [], []
            for line in self.behaviour.files[batch["input"]].decode().splitlines():
                item = json.loads(line)
                self.behaviour.seen["batch requests"] += 1
                if self.behaviour.fault():
                    failed = {
                        "status_code": 500,
                        "body": json.loads(error_body("try again", "server_error")),
                    }
                    bad.append(json.dumps({"custom_id": item["custom_id"], "response": failed}))
                    continue
                reply = self.behaviour.reply(item["body"], item["url"].endswith("chat/completions"))
                response = {"status_code": 200, "body": json.loads(reply)}
                good.append(
                    json.dumps(
                        {"custom_id": item["custom_id"], "response": response, "error": None}
                    )
                )
            batch["output"], batch["errors"] = (
                f"{batch['id']}-out",
                f"{batch['id']}-err" if bad else None,
            )
            self.behaviour.files[batch["output"]] = "\n".join(good).encode()
            self.behaviour.files[f"{batch['id']}-err"] = "\n".join(bad).encode()
        return {
            "id": batch["id"],
            "status": "completed",
            "output_file_id": batch["output"],
            "error_file_id": batch["errors"],
        }


def error_body(message: str, code: str) -> bytes:
    """An error as OpenAI writes it."""
    return json.dumps(
        {"error": {"message": message, "type": code, "code": code, "param": None}}
    ).encode()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--port", type=int, default=0)
    made.add_argument(
        "--latency", type=float, default=0.05, help="seconds; the median where --spread is set"
    )
    made.add_argument(
        "--spread", type=float, default=0.0, help="sigma of a lognormal latency; 0 = fixed"
    )
    made.add_argument(
        "--requests-per-minute", type=int, default=0, help="answer 429 beyond this; 0 = no limit"
    )
    made.add_argument(
        "--retry-after", default="1", help="Retry-After of a 429 in seconds; empty = none"
    )
    for fault in ("429", "500", "reset", "hang", "truncated", "empty", "wrong-type"):
        made.add_argument(f"--share-{fault}", type=float, default=0.0)
    made.add_argument(
        "--most-choices", type=int, default=128, help="choices at most, whatever n says"
    )
    made.add_argument("--batch-seconds", type=float, default=0.2)
    made.add_argument(
        "--count-prompts",
        action="store_true",
        help="count prompts that were answered more than once",
    )
    made.add_argument("--note-arrivals", action="store_true", help="note when each request arrived")
    made.add_argument(
        "--note-clients",
        action="store_true",
        help="note what each client (header X-Client) asked, and when it left: GET /clients",
    )
    made.add_argument("--key", default="", help="refuse any other key")
    made.add_argument("--model", default="", help="refuse any other model")
    made.add_argument("--seed", type=int, default=0)
    return made


async def serve(options: argparse.Namespace) -> None:
    """Serve until cancelled."""
    behaviour = Behaviour(options)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(behaviour), "127.0.0.1", options.port, backlog=4096, reuse_address=True
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(parser().parse_args()))
