"""Training spread over two processes by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from cotdistill.engines.transformers import TransformersEngine
from cotdistill.records import Request
from cotdistill.students.loading import load_student
from cotdistill.students.settings import StudentSettings
from cotdistill.testing.tiny import tiny_checkpoint


def test_two_processes_train_one_student(tmp_path: Path) -> None:
    student = {"model": str(tiny_checkpoint(tmp_path / "base", "gpt2"))}
    train = {"epochs": 2, "batch_size": 2, "learning_rate": 1e-2, "selection": "last"}
    (tmp_path / "settings.yaml").write_text(
        yaml.safe_dump({"student": student, "train": train, "seed": 3}), "utf-8"
    )
    row = {"role": "student", "prompt": "Is it?", "target": "It is 11."}
    (tmp_path / "examples.jsonl").write_text((json.dumps(row) + "\n") * 80, "utf-8")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "-m",
        "cotdistill.students",
    ]
    done = subprocess.run(
        [*command, "examples.jsonl", "settings.yaml", "out"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [result["steps"] for result in results] == [40, 40]
    engine = load_student(TransformersEngine(), StudentSettings(**student), tmp_path / "out")
    assert engine.generate([(Request("Is it?", max_tokens=20), 0)])[0].text == "It is 11."
