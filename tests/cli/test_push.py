"""`cotdistill push` against a hub of our own on loopback."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.errors import UserError

TOKEN = "hf_secretsecretsecret"


class FakeHub(ThreadingHTTPServer):
    """Takes one commit; what it was sent is in `files`, and how it was asked in `created`."""

    private = True
    refuses = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []


class HubHandler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.reply({"id": "me/student", "private": self.server.private, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        if self.server.refuses and self.path != "/api/repos/create":
            self.reply({"error": "You have no right to do this"}, 403)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            url = f"http://127.0.0.1:{self.server.server_port}/me/student"
            self.reply({"url": url, "name": "me/student"})
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            modes = [{"path": one["path"], "uploadMode": "regular"} for one in asked]
            self.reply({"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif "/commit/" in self.path:
            for row in map(json.loads, body.splitlines()):
                if row["key"] == "file":
                    content = base64.b64decode(row["value"]["content"])
                    self.server.files[row["value"]["path"]] = content
            address = f"http://127.0.0.1:{self.server.server_port}/me/student/commit/1"
            self.reply({"commitUrl": address, "commitOid": "1" * 40, "success": True})
        else:
            self.reply({"errors": [], "warnings": []})  # of the card's front matter


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "solver").mkdir()
    (tmp_path / "README.md").write_text("---\ntags: [cotdistill]\n---\n# A student\n")
    (tmp_path / "solver" / "config.json").write_text("{}")
    return tmp_path


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["push", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_a_folder_is_sent_to_a_private_repository(hub: FakeHub, folder: Path) -> None:
    told = invoke(str(folder), "--repo", "student")
    assert hub.files == {
        "README.md": (folder / "README.md").read_bytes(),
        "solver/config.json": b"{}",
    }
    (created,) = hub.created  # the field is called otherwise from huggingface_hub 2 on
    assert created.get("private") is True or created.get("visibility") == "private"
    assert "2 bytes  solver/config.json" in told and "the model card has no licence" in told
    assert told.rstrip().endswith("/me/student (private)") and TOKEN not in told


def test_a_dry_run_sends_nothing(hub: FakeHub, folder: Path) -> None:
    told = invoke(str(folder), "--repo", "student", "--dry-run")
    assert "solver/config.json" in told and "no figures" in told and "--dry-run" in told
    assert hub.created == [] and hub.files == {}


def test_a_public_repository_needs_a_word(hub: FakeHub, folder: Path) -> None:
    hub.private = False
    with pytest.raises(UserError, match="is a public repository; say --public"):
        invoke(str(folder), "--repo", "student")
    assert hub.files == {}
    assert "(public)" in invoke(str(folder), "--repo", "student", "--public")
    assert "README.md" in hub.files


def test_a_refusal_is_one_line_without_the_token(hub: FakeHub, folder: Path) -> None:
    hub.refuses = True
    with pytest.raises(UserError, match=r"^push: me/student: .*403") as caught:
        invoke(str(folder), "--repo", "me/student")
    with pytest.raises(UserError, match=r"^push: no such name: "):
        invoke(str(folder), "--repo", "no such name")
    assert TOKEN not in str(caught.value) and "\n" not in str(caught.value)


def test_without_a_login_nothing_is_tried(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError, match="hf auth login"):
        invoke(str(folder), "--repo", "student")
    assert hub.created == []
