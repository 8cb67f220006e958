"""Prints the finished runs of a folder as Markdown, with published rows beside ours.

    python benchmarks/gpu/tables.py FOLDER       # run folders: `runs`, or runs.tar.gz unpacked

Published figures are of other models, named as such: GPT-2 124M, T5-small 60M, GPT-3 ada of Ho et
al. (2023), best of 20 epochs on the test set. Ours: the last epoch, seeds combined, p paired
against answer-only and corrected within the run (Holm).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cotdistill.evaluation.published import Published, load_published
from cotdistill.recipe import MethodEntry, load_recipe
from cotdistill.runs.run import Run
from cotdistill.util.files import read_json

MODELS = {"gpt2": "GPT-2 124M", "t5-small": "T5-small 60M", "ada": "GPT-3 ada"}
HEAD = "| task | method | accuracy % [95 %] | n | seeds | p against answer-only | {} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    figures = load_published()
    for scores in sorted(arguments.folder.glob("*/scores.json")):
        print("\n".join(table(scores.parent, figures)), end="\n\n")


def table(folder: Path, figures: list[Published]) -> Iterator[str]:
    """Yield the lines of one run's table, and what its training took."""
    run = Run(load_recipe(folder / "recipe.yaml", [f"output={folder.parent}"]))
    tasks = {task.label: task.name for task in run.recipe.tasks}
    methods = {method.label: method for method in run.recipe.methods}
    yield f"## {folder.name}\n"
    yield HEAD.format(" | ".join(f"published {name}" for name in MODELS.values()))
    yield "|---|---|---|---|---|---|" + "---|" * len(MODELS)
    for row in read_json(folder / "scores.json")["rows"]:
        shown = [row["task"], row["method"]]
        shown[0] += "" if row["split"] == "test" else f" ({row['split']})"
        shown[1] += "" if row["strategy"] in ("greedy", "") else f", {row['strategy']}"
        low, high = (100 * row[name] for name in ("low", "high"))
        shown.append(f"{100 * row['accuracy']:.1f} [{low:.1f}, {high:.1f}]")
        p = row.get("p_corrected")
        shown += [str(row["n"]), str(len(row["seeds"])), "–" if p is None else f"{p:.2g}"]
        method = methods.get(row["method"])
        shown += [_published(figures, tasks[row["task"]], method, model) for model in MODELS]
        yield f"| {' | '.join(shown)} |"
    yield f"\nTraining and answering, minutes of all processes: {_minutes(run):.0f}"


def _published(
    figures: list[Published], task: str, method: MethodEntry | None, student: str
) -> str:
    if method is None:
        return "–"
    samples = method.settings.get("samples", 1) if method.name == "fine_tune_cot" else ""
    wanted = {"": "", 1: "1"}.get(samples, "diverse")
    found = [
        one
        for one in figures
        if (one.task, one.split, one.student) == (task, "default", student)
        and (one.method, one.samples) == (method.name, wanted)
        and one.metric == "accuracy"
    ]
    return f"{found[0].value:.1f}" if found else "–"


def _minutes(run: Run) -> float:
    folders = [Path(folder) for folder in run.folder.rglob("done.json")]
    notes: list[Any] = [read_json(path)["metadata"] for path in folders]
    return sum(float(note.get("seconds", 0)) for note in notes) / 60


if __name__ == "__main__":
    main()
