"""The notebook of the docs: its cells run in a process with a running loop, as in a kernel."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from tests import forked

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def run_cells(cells: list[str]) -> None:
    kernel = vars(sys.modules["__main__"])

    async def run() -> None:  # as in a notebook, a loop runs while a cell does
        for cell in cells:
            exec(compile(cell, "cell", "exec"), kernel)

    with Path("said.txt").open("w", encoding="utf-8") as said, redirect_stdout(said):
        asyncio.run(run())
        reasons = sorted(set(kernel["kept"].reason.dropna()))
        print(len(kernel["result"].scores), reasons, list(kernel["result"].folder.parts))


def test_the_notebook_runs_top_to_bottom_and_holds_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5 and not any(cell.get("outputs") for cell in cells)
    size = '{"train": 100, "validation": 20, "test": 100}'
    assert size in code[0] and '"epochs": 4' in code[0]
    code[0] = code[0].replace(size, '{"train": 8, "validation": 2, "test": 6}')
    code[0] = code[0].replace('"epochs": 4', '"epochs": 1').replace('"samples": 4', '"samples": 1')
    monkeypatch.chdir(tmp_path)
    forked.call(run_cells, code)
    said = (tmp_path / "said.txt").read_text("utf-8")
    assert said.splitlines()[-1].startswith("4 [")
    assert "too long" in said and "['runs', 'notebook']" in said
