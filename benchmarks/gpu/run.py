"""Runs the real recipes on one GPU, in order of value, within a time; a later call goes on.

    python3 gpu/run.py --seconds 560 --out "$OUT"         # in the unpacked project
    python3 gpu/run.py --rehearse --out out                # the same on a CPU: tiny grids, minutes

One cell (task, method, seed) after the other is trained and at once answered, in one process: side
by side they would take turns on the card. One line a result: recipe, task, split, method, strategy,
seed, accuracy, questions, seconds of training and answering. What fails is reported and stops
nothing else. `--out` gets `results.jsonl`, line by line, and at the end `runs.tar.gz` (scores of
what is whole, answers and training notes without checkpoints; `tables.py` prints them).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import signal
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from plan import PLAN, Item

# Read by torch and tokenizers when they are first imported, which is later.
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from cotdistill.evaluation.grid import grade
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import Recipe, load_recipe
from cotdistill.records import Answer, Verdict
from cotdistill.runs.grid import Cell
from cotdistill.runs.run import Run
from cotdistill.util.files import read_records

WORK = ("generate", "curate", "train", "infer")
REHEARSAL = (
    "limit={train: 8, validation: 2, test: 2, ood: 2}",
    "train={epochs: 1, max_steps: 1, batch_size: 2, selection: last}",
)


class TimeUp(BaseException):
    """The time is over: raised wherever the program is, as a kill would be."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=560.0)
    parser.add_argument("--out", type=Path, required=True)
    roomy = max(("/dev/shm", "."), key=lambda place: shutil.disk_usage(place).free)
    parser.add_argument("--runs", type=Path, default=Path(roomy, "runs"))
    parser.add_argument("--only", nargs="*", default=[item.recipe for item in PLAN])
    parser.add_argument("--student", help="a checkpoint in place of the recipes' student")
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    items = [item for item in PLAN if item.recipe in arguments.only]
    recipes = dict[str, Recipe]()
    signal.signal(signal.SIGALRM, _time_up)
    signal.setitimer(signal.ITIMER_REAL, arguments.seconds)
    with (arguments.out / "results.jsonl").open("a", encoding="utf-8") as results:
        try:
            for item, recipe in _planned(items, arguments):
                recipes[recipe.name] = recipe
                run_item(item, recipe, results)
        except TimeUp:
            print("out of time: what follows in the plan was not run", flush=True)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for recipe in recipes.values():
        _guarded(f"{recipe.name} evaluate", _evaluate, recipe)
    collect(arguments.runs, arguments.out / "runs.tar.gz")


def _time_up(*_: object) -> None:
    raise TimeUp


def _planned(items: list[Item], arguments: argparse.Namespace) -> Iterator[tuple[Item, Recipe]]:
    for item in items:
        overrides = [*item.overrides, f"output={arguments.runs}"]
        if arguments.student:
            overrides.append(f"student={{model: {arguments.student}, label: student}}")
        path = Path("recipes", item.file)
        recipe = _guarded(
            item.recipe, load_recipe, path, [*overrides, *(REHEARSAL * arguments.rehearse)]
        )
        if recipe is not None:
            yield item, recipe


def _guarded(named: str, do: Any, *about: Any) -> Any:
    """Call; report what fails in one line and give the card's memory back."""
    try:
        return do(*about)
    except Exception as error:  # noqa: BLE001  one cell that fails stops no other
        print(f"FAILED {named}: {str(error) or repr(error):.500}", flush=True)
        return None
    finally:
        _give_back()


def _give_back() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def run_item(item: Item, recipe: Recipe, results: TextIO) -> None:
    """Train and answer the cells of one item, seed by seed, and write each result at once."""
    known = recipe.model_copy(update={"seeds": tuple(sorted({*recipe.seeds, *item.seeds}))})
    cells = [one for one in Run(known).cells() if not item.tasks or one.task.label in item.tasks]
    for cell in sorted(cells, key=lambda one: one.seed):
        if cell.seed in item.seeds:
            named = f"{item.recipe} {cell.label}"
            _guarded(named, run_cell, item.recipe, recipe, cell, results)


def run_cell(name: str, recipe: Recipe, cell: Cell, results: TextIO) -> None:
    one = {"tasks": (cell.task,), "methods": (cell.method,), "seeds": (cell.seed,)}
    run = run_recipe(recipe.model_copy(update=one), stages=WORK)
    for row in _rows(name, run):
        print(" ".join(str(value) for value in row.values()), flush=True)
        results.write(json.dumps(row) + "\n")
    results.flush()
    _free(run.train_artifact(cell).folder)


def _rows(name: str, run: Run) -> Iterator[dict[str, Any]]:
    for cell, split, strategy in run.answered():
        artifact = run.infer_artifact(cell, split, strategy)
        notes = artifact.require("infer")
        answers = read_records(artifact.folder / "answers.jsonl", Answer)
        questions, kind = run.questions(cell.task, split), cell.task.plugin.answer_type
        verdicts = [grade(kind, *one) for one in zip(questions, answers, strict=True)]
        trained = run.train_artifact(cell).metadata or {}
        yield {
            "recipe": name,
            **cell.labels(split, strategy),
            "accuracy": round(100 * verdicts.count(Verdict.CORRECT) / len(verdicts), 2),
            "n": len(verdicts),
            "train_seconds": round(trained.get("seconds", 0.0), 1),
            "infer_seconds": round(notes["seconds"], 1),
            "at": round(time.monotonic(), 1),
        }


def _free(folder: Path) -> None:
    """Give back the room of a checkpoint that all have asked: a sparse file of its size stays."""
    for path in folder.rglob("*.safetensors"):
        size = path.stat().st_size
        os.truncate(path, 0)
        os.truncate(path, size)


def _evaluate(recipe: Recipe) -> None:
    """Evaluate the tasks that have every method, at as many seeds as are whole."""
    for count in range(len(recipe.seeds), 0, -1):
        part = recipe.model_copy(update={"seeds": recipe.seeds[:count]})
        run = Run(part)
        waiting = {
            one[0].task.label for one in run.answered() if not run.infer_artifact(*one).finished
        }
        tasks = tuple(task for task in part.tasks if task.label not in waiting)
        if tasks:
            run_recipe(part.model_copy(update={"tasks": tasks}), stages=["evaluate"])
            return


def collect(folder: Path, path: Path) -> None:
    """Pack the run folders without what can be made again from the data, and checkpoints."""
    kept = (".json", ".jsonl", ".md", ".yaml", ".html")
    left = {"generate", "curate", "checkpoint", "examples.jsonl", "scored.jsonl"}
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.suffix in kept and not left & set(inside.parts):
                tar.add(file, arcname=str(inside))


if __name__ == "__main__":
    main()
