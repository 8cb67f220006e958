"""The notebook of the docs: its cells run in a process with a running loop, as in a kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cotdistill

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"

RUN_CELLS = """
import asyncio, sys

async def kernel():  # as in a notebook, a loop runs while a cell does
    for cell in sys.stdin.read().split("\\0"):
        exec(compile(cell, "cell", "exec"), vars(sys.modules["__main__"]))
    print(len(result.scores), sorted(set(kept.reason.dropna())), list(result.folder.parts))

asyncio.run(kernel())
"""


def test_the_notebook_runs_top_to_bottom_and_holds_no_output(tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5 and not any(cell.get("outputs") for cell in cells)
    size = '{"train": 100, "validation": 20, "test": 100}'
    assert size in code[0] and '"epochs": 4' in code[0]
    code[0] = code[0].replace(size, '{"train": 8, "validation": 2, "test": 6}')
    code[0] = code[0].replace('"epochs": 4', '"epochs": 1').replace('"samples": 4', '"samples": 1')
    environment = {**os.environ, "PYTHONPATH": str(Path(cotdistill.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS],
        input="\0".join(code),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("4 [")
    assert "too long" in done.stdout and "['runs', 'notebook']" in done.stdout
