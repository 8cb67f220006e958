"""Addresses: what lies elsewhere is read and noticed to have changed; no key in one is shown."""

from __future__ import annotations

import gzip
import json
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import fsspec
import pyarrow
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.data.rows import rows
from cotdistill.errors import CotdistillError, DataError, RecipeError, StoreError, UserError
from cotdistill.recipe import load_recipe, parse_recipe
from cotdistill.tasks.custom import Custom
from cotdistill.util.addresses import folder_for, key_in, path_of, stamps

SECRET = "9f86d081884c7d659a2feaa0c55ad015"
ROWS = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(50)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


class Server(ThreadingHTTPServer):
    """A web server that sends whole files only, as `python -m http.server` does."""

    files: dict[str, bytes]
    etag = ""
    address = ""
    requests = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        # A signature is for one kind of request: reading.
        self.send_error(403) if "?" in self.path else self._answer(b"")

    def do_GET(self) -> None:
        self._answer(None)

    def _answer(self, body: bytes | None) -> None:
        self.server.requests += 1
        name, _, query = self.path.lstrip("/").partition("?")
        if name == "elsewhere.jsonl":
            self.send_response(302)
            self.send_header("Location", f"/q.jsonl?sig={SECRET}&more=1")
            self.end_headers()
            return
        found = self.server.files.get(name)
        if found is None or query not in ("", f"sig={SECRET}"):
            self.send_error(403 if found else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(found) + ("cut" in name)))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        self.wfile.write(found if body is None else body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.files = {"q.jsonl": LINES, "q.jsonl.gz": gzip.compress(LINES), "cut.jsonl": LINES}
        made.address = f"http://127.0.0.1:{made.server_port}"
        Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("s3://bucket/train-*.parquet", ""),
        ("s3://bucket/q.jsonl?versionId=3sL4kqtJlcpXroDTDmJ9rmSpXd3dIbrHY", ""),
        ("https://host:8080/a@b.csv?download=true&file=problems-2024-train.csv", ""),
        ("abfs://data@account.dfs.core.windows.net/q.csv", ""),
        ("ssh://ann@host/q.csv", ""),
        ("zip://a.csv::https://host/x@y.zip", ""),
        ("https://host/q.csv?${SIGNATURE}", ""),
        ("https://host/q.csv?sig=${SIG}&se=2026-01-01", ""),
        ("ftp://ann:${PASSWORD}@host/q.csv", ""),
        ("ftp://ann:geheim@host/q.csv", "password"),
        ("s3://AKIA123:ab/cd+ef@bucket/q.csv", "password"),
        ("simplecache::ftp://ann:geheim@host/q.csv", "password"),
        ("https://ghp_1234@host/q.csv", "token"),
        ("https://host/q.csv?X-Amz-Credential=a&X-Amz-Signature=b", "X-Amz-Credential"),
        ("https://host/q.csv?sv=2024&sig=b", "sig"),
        ("https://host/q.csv?api_key=b", "api_key"),
        (f"https://host/q.csv?x={SECRET}", "x"),
        ("https://host/q.csv?f47ac10b-58cc-4372-a567-0e02b2c3d479", "token"),
        ("https://host/q.csv?p=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "p"),
    ],
)
def test_a_key_in_an_address_is_found_and_what_is_named_is_none(address: str, found: str) -> None:
    assert found in key_in(address) and bool(key_in(address)) == bool(found)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("https://host/a/q.jsonl.gz?download=true", "host/a/q.jsonl.gz"),
        ("zip://in/q.csv::s3://bucket/x.zip", "in/q.csv"),
        ("simplecache::s3://bucket/q.csv", "bucket/q.csv"),
    ],
)
def test_the_name_of_a_file_is_found_in_an_address(address: str, path: str) -> None:
    assert path_of(address) == Path(path)


@pytest.mark.parametrize("name", ["q.jsonl", "q.jsonl.gz", "q.jsonl?${SIGNATURE}"])
def test_a_web_page_is_read_with_its_secret_named(
    name: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNATURE", f"sig={SECRET}")
    found = list(rows(f"{server.address}/{name}"))
    assert [row.fields for row in found] == ROWS
    assert found[7].place == f"{server.address}/{name}:8"


def test_a_server_that_sends_whole_files_only_is_enough_for_a_large_one(server: Server) -> None:
    large = [{"question": "x" * 10**6, "answer": str(number)} for number in range(12)]
    table = BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(large), table, compression="none")
    lines = "".join(json.dumps(row) + "\n" for row in large).encode()
    server.files = {"q.jsonl": lines, "q.parquet": table.getvalue()}
    for name in server.files:
        assert [row.fields for row in rows(f"{server.address}/{name}")] == large


def refusal(source: str) -> str:
    """Return what a reader says of an address, whose secret stands nowhere in a traceback."""
    with pytest.raises(CotdistillError) as caught:
        list(rows(source))
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown and SECRET[:10] not in shown and "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_read_is_one_line_without_the_secret(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNATURE", f"sig={SECRET}&more=1")
    assert "403" in refusal(f"{server.address}/q.jsonl?${{SIGNATURE}}")
    monkeypatch.setenv("SIGNATURE", f"sig={SECRET}")
    assert "404" in refusal(f"{server.address}/none.jsonl?${{SIGNATURE}}")
    assert "not completed" in refusal(f"{server.address}/cut.jsonl?${{SIGNATURE}}")
    monkeypatch.delenv("SIGNATURE")
    assert "variable SIGNATURE is not set" in refusal(f"{server.address}/q.jsonl?${{SIGNATURE}}")
    assert "403" in refusal(f"{server.address}/elsewhere.jsonl")  # where it leads to is signed
    assert "`sig`" in refusal(f"{server.address}/q.jsonl?sig={SECRET}")


def test_no_recipe_is_made_with_a_key_in_it(tmp_path: Path) -> None:
    path = f"https://host/q.jsonl?sig={SECRET}"
    for name, entry in (("task", {"name": "custom", "path": {"train": path}}),
                        ("teacher", {"name": "recorded", "files": [path]}),
                        ("exemplars", path)):  # fmt: skip
        data = {"name": "x", "task": "word_problems", "methods": ["answer_only"], name: entry}
        file = tmp_path / "recipe.yaml"
        file.write_text(json.dumps(data))
        with pytest.raises(DataError, match=rf"{name}.*https://host/q\.jsonl: .*`sig`") as caught:
            parse_recipe(data)
        assert SECRET not in str(caught.value)
        with pytest.raises(RecipeError, match=rf"recipe\.yaml: {name}.*`sig`.*\$\{{NAME\}}"):
            load_recipe(file)


def test_a_change_is_noticed_by_the_checksum_that_a_store_tells(server: Server) -> None:
    task = Custom(path=f"{server.address}/q.jsonl?${{NOTHING}}".removesuffix("?${NOTHING}"))
    assert task.stamp() is None  # size and time of another server's clock are no proof
    server.etag = 'W/"1"'
    assert task.stamp() is None
    server.etag = '"1"'
    first = task.stamp()
    assert first == [[f"127.0.0.1:{server.server_port}/q.jsonl", len(LINES), '"1"']]
    before = [one.id for one in task.questions("train")]
    asked = server.requests
    assert [one.id for one in task.questions("train")] == before and server.requests == asked
    server.files["q.jsonl"], server.etag = LINES[: LINES.index(b"\n", 1000) + 1], '"2"'
    assert [one.id for one in task.questions("train")] == before  # within a run
    assert task.stamp() != first
    assert len([one.id for one in task.questions("train")]) < len(before)


def test_another_signature_is_the_same_data(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.etag = '"1"'
    task = Custom(path=f"{server.address}/q.jsonl?${{SIGNATURE}}")
    found = []
    for signature in ("", f"sig={SECRET}"):
        monkeypatch.setenv("SIGNATURE", signature)
        found.append((task.stamp(), [one.id for one in task.questions("test")]))
    assert found[0] == found[1]
    assert task.default_label == "q" and all(id.startswith("q/") for id in found[0][1])


class Falling(MemoryFileSystem):
    """An object store that is lost while the second file is sent."""

    protocol = "falling"
    async_impl = True
    store: ClassVar[dict[str, Any]] = {}
    sent = 0

    def makedirs(self, *_: Any, **__: Any) -> None:
        raise AssertionError("a bucket was made")

    def put_file(self, here: str, there: str, *_: Any, **__: Any) -> None:
        type(self).sent += 1
        if self.sent == 2:
            raise OSError(5, f"the connection is lost ({SECRET})")
        self.store[there] = Path(here).read_bytes()


def test_what_cannot_be_sent_is_kept_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("falling", Falling, clobber=True)
    monkeypatch.setenv("KEY", SECRET)
    with (
        pytest.raises(StoreError, match=r"to/\$\{KEY\}: cannot be written: the conn") as caught,
        folder_for("falling://to/${KEY}") as folder,
    ):
        for name in ("README.md", "a.jsonl", "b.jsonl"):
            (folder / name).write_text(name)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert str(folder) in str(caught.value) and len(list(folder.iterdir())) == 3
    assert [Path(name).name for name in Falling.store] == ["a.jsonl"]  # no card: not whole
    with folder_for("falling://to/again") as folder:
        (folder / "a.jsonl").write_text("a")
    assert not folder.exists() and list(Falling.store)[1].endswith("to/again/a.jsonl")


def test_an_address_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = {"name": "x", "task": "word_problems", "methods": ["answer_only"]}
    filters = [{"name": "ids", "keep_file": "s3://bucket/ids.txt"}]
    for field, value in (("output", "s3://bucket/runs"), ("completions", "s3://bucket/c.sqlite"),
                         ("exemplars", "s3://bucket/e.jsonl"), ("filters", filters)):  # fmt: skip
        with pytest.raises(UserError, match=r"s3://bucket/\S+ is an address; name a path"):
            parse_recipe({**data, field: value})
    for command in (["run", "s3://bucket/r.yaml"], ["view", "s3://bucket/run"],
                    ["export", "model", "run", "--out", "s3://bucket/m"],
                    ["cache", "export", "run", "-o", "s3://bucket/c.jsonl"]):  # fmt: skip
        error = CliRunner().invoke(app, command).exception
        assert isinstance(error, UserError) and "is an address; name a path" in str(error), command
    assert list(tmp_path.iterdir()) == []


def test_score_and_import_read_addresses(tmp_path: Path) -> None:
    said = [{**row, "completion": f"It is {row['answer']}."} for row in ROWS]
    with fsspec.open("memory://scored/said.jsonl", "wb") as file:
        file.write("".join(json.dumps(row) + "\n" for row in said).encode())
    source, out = "memory://scored/said.jsonl", str(tmp_path / "out.jsonl")
    scored = CliRunner().invoke(app, ["score", source, "--task", "number"])
    assert "50 of 50 correct" in scored.output
    assert CliRunner().invoke(app, ["import", source, "--out", out]).exit_code == 0
    assert len(Path(out).read_text().splitlines()) == 50


@pytest.mark.parametrize("target", ["https://host/folder", "nothing://bucket/folder"])
def test_where_nothing_can_be_written_is_told_before_anything_is_made(target: str) -> None:
    with pytest.raises(StoreError, match=target), folder_for(target):
        raise AssertionError("the folder was given")


def test_the_stamps_of_a_pattern_are_those_of_its_files() -> None:
    for name in ("b", "a"):
        with fsspec.open(f"memory://stamped/{name}.csv", "wb") as file:
            file.write(b"question\n")
    assert stamps("memory://stamped/*.csv") == [None, None]
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: no such file"):
        stamps("memory://stamped/none.csv")
