"""Checksums beside a checkpoint: damaged weights are noticed when they are loaded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from cotdistill.checkpoints.hashes import check, checkpoint_stamp, content_hash, seal
from cotdistill.checkpoints.loading import load_model
from cotdistill.errors import UserError
from cotdistill.testing.tiny import tiny_checkpoint


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


def test_a_replaced_checkpoint_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"one")
    before = checkpoint_stamp(tmp_path / "model")
    assert before == checkpoint_stamp(str(tmp_path / "model"))
    (tmp_path / "model" / "README.md").write_text("A model card says nothing a run depends on.")
    assert before == checkpoint_stamp(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other")
    assert checkpoint_stamp(tmp_path / "model") != before
    assert checkpoint_stamp("hub/id") is checkpoint_stamp(None) is None
