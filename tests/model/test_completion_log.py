"""The completion log: keys, durability, several writers, and what happens when the file cannot be
used."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import StoreError
from cotdistill.model.completion_log import CompletionLog, canonical_json, request_json
from cotdistill.model.completion_log import request_key as key_of
from cotdistill.records import Completion, Message, Request

IDENTITY = {"model": "m", "base_url": "http://localhost/v1", "system": ""}
IDENTITY_JSON = canonical_json(IDENTITY)


def request_key(identity: dict[str, Any], request: Request) -> str:
    return key_of(canonical_json(identity), request_json(request))


def json_of(request: Request) -> str:
    return canonical_json(request.to_json())


def put(log: CompletionLog, number: int, samples: int = 1) -> str:
    request = Request(f"Q: {number}")
    key = request_key(IDENTITY, request)
    completions = [
        Completion(f"text {number} {i}", i, reasoning="thinking", logprob=-0.5, key=key)
        for i in range(samples)
    ]
    asyncio.run(log.put(key, IDENTITY_JSON, json_of(request), completions))
    return key


def test_what_is_put_comes_back_by_sample_index(tmp_path: Path) -> None:
    with CompletionLog(tmp_path / "log.sqlite") as log:
        key = put(log, 1, samples=4)
        assert log.get(key, 0, 4)[2] == Completion(
            "text 1 2", 2, reasoning="thinking", logprob=-0.5, key=key
        )
        assert sorted(log.get(key, 1, 2)) == [1, 2]
        assert log.get(request_key(IDENTITY, Request("Q: other")), 0, 4) == {}


@pytest.mark.parametrize(
    "other",
    [
        request_key({**IDENTITY, "model": "n"}, Request("Q")),
        request_key({**IDENTITY, "base_url": "http://localhost/v2"}, Request("Q")),
        request_key({**IDENTITY, "system": "Be brief."}, Request("Q")),
        request_key(IDENTITY, Request("Q ")),
        request_key(IDENTITY, Request((Message("user", "Q"),))),
        request_key(IDENTITY, Request("Q", temperature=0.1)),
        request_key(IDENTITY, Request("Q", top_p=0.9)),
        request_key(IDENTITY, Request("Q", max_tokens=257)),
        request_key(IDENTITY, Request("Q", stop=("\n",))),
        request_key(IDENTITY, Request("Q", prefill=" First")),
    ],
)
def test_anything_that_determines_a_completion_changes_the_key(other: str) -> None:
    assert other != request_key(IDENTITY, Request("Q"))


def test_a_key_does_not_depend_on_the_order_of_settings() -> None:
    assert request_key(dict(reversed(IDENTITY.items())), Request("Q")) == request_key(
        IDENTITY, Request("Q")
    )


def test_replies_of_one_moment_share_a_transaction(tmp_path: Path) -> None:
    with CompletionLog(tmp_path / "log.sqlite") as log:
        commits = []
        log._database.set_trace_callback(
            lambda sql: commits.append(sql) if sql == "COMMIT" else None
        )

        async def many() -> None:
            requests = [Request(str(number)) for number in range(50)]
            await asyncio.gather(
                *(
                    log.put(request_key(IDENTITY, r), IDENTITY_JSON, json_of(r), [Completion("x")])
                    for r in requests
                )
            )

        asyncio.run(many())
        assert len(commits) == 1


def test_the_first_completion_of_a_key_stays(tmp_path: Path) -> None:
    with CompletionLog(tmp_path / "log.sqlite") as log:
        request = Request("Q")
        key = request_key(IDENTITY, request)
        asyncio.run(log.put(key, IDENTITY_JSON, json_of(request), [Completion("first")]))
        asyncio.run(log.put(key, IDENTITY_JSON, json_of(request), [Completion("second")]))
        assert log.get(key, 0, 1)[0].text == "first"


WRITER = """
import asyncio, sys
from pathlib import Path
from cotdistill.model.completion_log import CompletionLog, canonical_json, request_json, request_key
from cotdistill.records import Completion, Request
async def main():
    log = CompletionLog(Path(sys.argv[1]))
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        request = Request(str(number))
        key = request_key('{"m":1}', request_json(request))
        model, asked = canonical_json({"m": 1}), canonical_json(request.to_json())
        await log.put(key, model, asked, [Completion("x" * 200)])
        print(number, flush=True)
asyncio.run(main())
"""


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(n * 150), str(n * 150 + 200)],
            stdout=subprocess.PIPE,
        )
        for n in range(3)
    ]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    with CompletionLog(path, read_only=True) as log:
        assert sum(1 for _ in log.entries()) == 500


def test_a_kill_loses_nothing_that_was_reported_as_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path, "0", "1000000"], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    for _ in range(200):
        reported = writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate()
    lines = (reported + rest).split(b"\n")
    last = int(lines[-2])  # a torn last line does not count
    with CompletionLog(path) as log:
        assert all(
            log.get(request_key({"m": 1}, Request(str(number))), 0, 1) for number in range(last + 1)
        )


def test_a_locked_file_is_waited_for_and_then_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    log = CompletionLog(path, lock_patience_s=0.5)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def release_soon() -> None:
        await asyncio.sleep(0.1)
        other.execute("ROLLBACK")

    async def both() -> None:
        await asyncio.gather(
            release_soon(),
            log.put("ab" * 32, IDENTITY_JSON, json_of(Request("Q")), [Completion("kept")]),
        )

    asyncio.run(both())
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked") as caught:
        put(log, 2)
    assert "\n" not in str(caught.value)
    assert log.get("ab" * 32, 0, 1)[0].text == "kept"
    other.close()
    log.close()


def test_a_full_disk_is_one_line_and_what_was_committed_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    log = CompletionLog(path)
    put(log, 1)
    log._database.execute("PRAGMA max_page_count=12")
    with pytest.raises(StoreError, match="disk is full") as caught:
        for number in range(2, 2000):
            put(log, number, samples=8)
    assert "\n" not in str(caught.value)
    log.close()
    with CompletionLog(path, read_only=True) as again:
        kept = list(again.entries())
        assert kept[0].completion.text == "text 1 0"
        assert json.loads(json.dumps(kept[0].to_json()))["request"]["prompt"] == "Q: 1"


def test_a_file_that_is_no_log_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    path.write_text("this is a letter, not a database " * 100)
    with pytest.raises(StoreError, match="no completion log") as caught:
        CompletionLog(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with CompletionLog(path) as log:
        for number in range(300):
            put(log, number, samples=3)
    data = bytearray(path.read_bytes())
    data[8192:-8192] = os.urandom(len(data) - 16384)
    path.write_bytes(data)
    with (
        pytest.raises(StoreError, match="the file is damaged") as caught,
        CompletionLog(path, read_only=True) as log,
    ):
        list(log.entries())
    assert "\n" not in str(caught.value)


def test_halves_of_surrogate_pairs_and_long_numbers_have_a_key() -> None:
    odd = {"a": "x\ud83d", "b": 2**80, "c": [1.5, None]}
    assert canonical_json(odd) == '{"a":"x\\ud83d","b":1208925819614629174706176,"c":[1.5,null]}'
    assert len(request_key(odd, Request("\ud83d"))) == 64


def test_a_claim_is_that_of_one_live_process(tmp_path: Path) -> None:
    path, key = tmp_path / "log.sqlite", "ab" * 32

    async def main() -> None:
        one, two = CompletionLog(path), CompletionLog(path)
        assert await one.claim(key, [0]) == {}
        assert await one.claim(key, [1]) == {}  # of the same process
        assert await two.claim(key, [0]) is None
        assert await two.claim("cd" * 32, [0]) == {}
        one.release(key)
        assert await two.claim(key, [0]) is None
        await one.put(key, IDENTITY_JSON, json_of(Request("Q")), [Completion("yes")])
        found = await two.claim(key, [0])
        assert found is not None
        assert found[0].text == "yes"
        assert await one.claim(key, [0, 1]) == found  # which claimed what is missing
        assert await two.claim(key, [0, 1]) is None
        assert await two.claim(key, [0]) == found  # which is there for anyone
        one.close()
        assert await two.claim(key, [0, 1]) == found
        two.close()

    asyncio.run(main())
    assert [found.name for found in tmp_path.iterdir()] == ["log.sqlite"]


@pytest.mark.parametrize("turns", range(4))
def test_a_claim_of_who_was_cancelled_is_nobodys(tmp_path: Path, turns: int) -> None:
    async def main() -> None:
        with CompletionLog(tmp_path / "log.sqlite") as one, CompletionLog(one.path) as two:
            claiming = asyncio.create_task(one.claim("ab" * 32, [0]))
            for _ in range(turns):
                await asyncio.sleep(0)
            cancelled = claiming.cancel()
            await asyncio.gather(claiming, return_exceptions=True)
            await one.claim("cd" * 32, [0])
            assert (await two.claim("ab" * 32, [0]) == {}) == cancelled

    asyncio.run(main())


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    log = CompletionLog(tmp_path / "log.sqlite")
    log._lock_file(log._owner).symlink_to(victim)
    with pytest.raises(StoreError, match="lock"):
        asyncio.run(log.claim("ab" * 32, [0]))
    assert victim.read_text() == "precious"


def test_a_missing_or_newer_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no file"):
        CompletionLog(tmp_path / "none.sqlite", read_only=True)
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(StoreError, match="format 99"):
        CompletionLog(tmp_path / "newer.sqlite")
    with pytest.raises(StoreError):
        CompletionLog(Path("/proc/none/log.sqlite"))


def test_what_was_on_its_way_when_its_caller_was_cancelled_is_kept_all_the_same(
    tmp_path: Path,
) -> None:
    async def cancelled_put(log: CompletionLog) -> None:
        putting = asyncio.create_task(
            log.put("ab" * 32, IDENTITY_JSON, json_of(Request("Q")), [Completion("kept")])
        )
        await asyncio.sleep(0)
        putting.cancel()

    log = CompletionLog(tmp_path / "log.sqlite")
    asyncio.run(cancelled_put(log))
    log.close()
    with CompletionLog(tmp_path / "log.sqlite") as again:
        assert again.get("ab" * 32, 0, 1)[0].text == "kept"


def test_prune_by_model_and_age(tmp_path: Path) -> None:
    with CompletionLog(tmp_path / "log.sqlite") as log:
        put(log, 1, samples=2)
        request = Request("Q")
        asyncio.run(
            log.put(
                request_key({"m": 2}, request),
                canonical_json({"m": 2}),
                json_of(request),
                [Completion("b")],
            )
        )
        assert [row[1:3] for row in log.summary()] == [(1, 2), (1, 1)]
        assert log.prune(before=time.time() - 60) == 0
        assert log.prune(identity_json=IDENTITY_JSON) == 2
        assert [row[0] for row in log.summary()] == ['{"m":2}']


def test_notes_are_kept_and_removed(tmp_path: Path) -> None:
    with CompletionLog(tmp_path / "log.sqlite") as log:
        log.note("batch/1", {"state": "sent"})
        log.note("other", 1)
        assert log.notes("batch/") == {"batch/1": {"state": "sent"}}
        log.note("batch/1", None)
        assert log.notes("batch/") == {}


def test_a_new_log_is_begun_by_several_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def begin(path: Path) -> None:
        together.wait(20)
        with CompletionLog(path):
            pass

    with ThreadPoolExecutor(4) as pool:
        for number in range(40):
            list(pool.map(begin, [tmp_path / f"{number}.sqlite"] * 4))
