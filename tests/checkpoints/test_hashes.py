"""Checksums beside a checkpoint: damaged weights are noticed when they are loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from cotdistill.checkpoints import hashes
from cotdistill.checkpoints.hashes import check, checkpoint_hash, content_hash, seal
from cotdistill.checkpoints.loading import load_model
from cotdistill.errors import UserError
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util import files


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder: Path = tiny_checkpoint(tmp_path / "model", "gpt2")
    seal(folder)
    return folder


def test_damage_that_keeps_the_size_is_noticed(checkpoint: Path) -> None:
    load_model(checkpoint, torch.float32)
    weights = checkpoint / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-7] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: differs from SHA256SUMS[^\n]*$"):
        load_model(checkpoint, torch.float32)


def test_a_file_that_went_missing_is_noticed(checkpoint: Path) -> None:
    (checkpoint / "generation_config.json").unlink()
    with pytest.raises(UserError, match=r"generation_config\.json: is missing"):
        check(checkpoint)


def test_the_list_is_one_that_sha256sum_reads(checkpoint: Path) -> None:
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=checkpoint, check=True)


def test_notes_beside_a_checkpoint_do_not_change_it(checkpoint: Path) -> None:
    before = content_hash(checkpoint)
    (checkpoint / "training.json").write_text("{}")
    (checkpoint / "README.md").write_text("card")
    assert content_hash(checkpoint) == before
    (checkpoint / "config.json").write_text("{}")
    assert content_hash(checkpoint) != before


@pytest.mark.parametrize("large", [2**26, 4])
def test_a_replaced_checkpoint_is_noticed_and_a_copied_one_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(hashes, "_LARGE", large)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"one, one")
    before = checkpoint_hash(weights.parent)
    assert before == checkpoint_hash(str(weights.parent))
    (weights.parent / "README.md").write_text("A model card says nothing a run depends on.")
    os.utime(weights)
    assert before == checkpoint_hash(weights.parent)
    assert before == checkpoint_hash(shutil.copytree(weights.parent, tmp_path / "copy"))
    stat = weights.stat()
    weights.write_bytes(b"two, two")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as `cp -p` and `rsync -t` do
    assert checkpoint_hash(weights.parent) != before
    assert checkpoint_hash("hub/id") is checkpoint_hash(None) is None


def test_a_large_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "_LARGE", 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, reads = tmp_path / "m.gguf", list[Path]()
    file.write_bytes(b"GGUF and more")

    def file_hash(path: Path) -> str:
        reads.append(path)
        return files.file_hash(path)

    monkeypatch.setattr(hashes, "file_hash", file_hash)
    assert checkpoint_hash(file) == checkpoint_hash(file) == files.file_hash(file)
    assert reads == [file]
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("no folder")  # where nothing can be noted
    assert checkpoint_hash(file) == files.file_hash(file)
