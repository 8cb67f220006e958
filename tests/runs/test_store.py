"""Files appear whole or not at all; markers know what they were made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.errors import DataError, StoreError
from cotdistill.runs.store import Artifact, locked
from cotdistill.util.files import read_jsonl, whole_file, write_jsonl, write_text, writing
from cotdistill.util.naming import folder_name


def test_rows_come_back(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"b": "ü\n"}]
    assert write_jsonl(tmp_path / "deep" / "rows.jsonl", rows) == 2
    assert list(read_jsonl(tmp_path / "deep" / "rows.jsonl")) == rows


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old"


def test_full_disk_is_one_clear_line() -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        write_text(Path("/proc/cotdistill/file.txt"), "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": \n', r"rows.jsonl:2: not valid JSON"),
        ("[1]\n", r"rows.jsonl:1: a JSON object is needed"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_jsonl(path))


def test_torn_last_line_ends_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\n{"a"')
    assert list(read_jsonl(path, torn_tail=True)) == [{"a": 1}]


def test_an_artifact_stays_until_its_successor_is_whole(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path / "u", {"x": 1})
    assert artifact.metadata is None
    artifact.start()
    (artifact.folder / "half.txt").write_text("kept for resuming")
    artifact.start()
    assert (artifact.folder / "half.txt").exists()
    artifact.complete({"n": 3})
    assert Artifact(tmp_path / "u", {"x": 1}).metadata == {"n": 3}
    other = Artifact(tmp_path / "u", {"x": 2})
    assert other.metadata is None
    work = other.start()
    assert list(work.iterdir()) == [work / "started.json"]
    assert Artifact(tmp_path / "u", {"x": 1}).metadata == {"n": 3}
    (work / "whole.txt").write_text("of the other inputs")
    assert other.start() == work
    other.complete({"n": 4})
    assert other.metadata == {"n": 4}
    assert sorted(one.name for one in tmp_path.rglob("*.txt")) == ["whole.txt"]
    assert [one.name for one in tmp_path.iterdir()] == ["u"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("done.json", "{}"),
        ("done.json", "[1]"),
        ("done.json", "{half"),
        ("answers.jsonl", "{}\n"),
        ("answers.jsonl", None),
    ],
)
def test_an_artifact_with_a_damaged_or_missing_file_is_made_again(
    tmp_path: Path, name: str, text: str | None
) -> None:
    artifact = Artifact(tmp_path / "u", {"x": 1})
    artifact.start()
    (artifact.folder / "answers.jsonl").write_text("{}\n{}\n")
    artifact.complete({"n": 2})
    assert artifact.metadata == {"n": 2}
    (artifact.folder / "scored.jsonl").write_text("made of it later")
    assert artifact.metadata == {"n": 2}
    if text is None:
        (artifact.folder / name).unlink()
    else:
        (artifact.folder / name).write_text(text)
    assert artifact.metadata is None
    artifact.start()


def test_links_planted_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "file.txt.partial").symlink_to(tmp_path / "precious")
    write_text(tmp_path / "file.txt", "new")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match="cannot be written"), locked(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "file.txt").read_text() == "new"


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(StoreError, match="another cotdistill process"),
        locked(tmp_path),
    ):
        pass


def test_folder_names_are_safe() -> None:
    assert folder_name("fine_tune_cot samples=8") == "fine_tune_cot-samples-8"
    assert folder_name("../x/y") == "x-y"
    assert folder_name("学生 é=8") == "学生-é-8"
    assert folder_name("e\u0301") == "\u00e9"
    with pytest.raises(ValueError, match="no letter"):
        folder_name("///")
    with pytest.raises(ValueError, match="no letter"):
        folder_name("..")
    with pytest.raises(ValueError, match="too long"):
        folder_name("生" * 100)


def test_what_a_library_raises_while_it_writes_is_one_line(tmp_path: Path) -> None:
    line = r"out: cannot be written \(I/O error\); free some space"
    with pytest.raises(StoreError, match=line), writing(tmp_path / "out"):
        raise RuntimeError("I/O error\nwith a second line")
