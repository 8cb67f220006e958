"""Trains one role by itself, so that torchrun or `accelerate launch` can spread it over processes (DDP, FSDP).

    torchrun --nproc-per-node 8 -m cotdistill.students examples.jsonl settings.yaml out

`examples.jsonl` holds `Example` records, `settings.yaml` has `student`, `train` and `seed` as a recipe does. `batch_size`
is that of one process.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from cotdistill.records import Example
from cotdistill.students.settings import StudentSettings, TrainSettings
from cotdistill.util.files import read_records


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="cotdistill.students", description="Train one role on a file of examples."
    )
    parser.add_argument("examples", type=Path)
    parser.add_argument("settings", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    from cotdistill.students.train import train_role

    settings = yaml.safe_load(options.settings.read_text("utf-8"))
    result = train_role(
        list(read_records(options.examples, Example)),
        StudentSettings(**settings.get("student", {})),
        TrainSettings(**settings.get("train", {})),
        options.out,
        settings.get("seed", 0),
        log=lambda line: print(line, flush=True),
    )
    line = json.dumps({key: value for key, value in result.to_json().items() if key != "history"})
    print(
        f"{line}\n", end="", flush=True
    )  # one write: torchrun's processes share an unbuffered output


if __name__ == "__main__":
    main()
