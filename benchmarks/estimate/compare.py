"""An estimate beside what the run then used: completions, tokens, money, time, disk.

    python benchmarks/estimate/compare.py recipe.yaml --probe 20 --set output=/somewhere

asks the probe, estimates, runs the recipe to its end and prints both, with their ratio. The run
folder must be new. `--simulated` starts the simulated endpoint of benchmarks/teacher, with prices,
and makes it the teacher.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Spent, Sums
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import Recipe, load_recipe
from cotdistill.runs.estimate import Estimate, Estimator
from cotdistill.runs.run import Run
from cotdistill.stages.probe import probe
from cotdistill.util.concurrency import run_async

ENDPOINT = Path(__file__).parents[1] / "teacher" / "simulated_endpoint.py"
LATENCY_S = 0.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--probe", type=int, default=20)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    with simulated(options.simulated) as settings:
        compare(load_recipe(options.recipe, [*settings, *options.set]), options.probe)


@contextmanager
def simulated(wanted: bool) -> Iterator[list[str]]:
    """Serve the simulated endpoint and yield the settings that make it the teacher."""
    if not wanted:
        yield []
        return
    command = [sys.executable, str(ENDPOINT), "--port", "0", "--latency", str(LATENCY_S)]
    process = subprocess.Popen([*command, "--spread", "0.3"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        prices = "input_price: 2.0, output_price: 8.0"
        # Its answers are no answers to the questions: nothing would be kept by answer_match.
        yield [
            f"teacher={{name: openai, model: simulated, base_url: '{url}', {prices}}}",
            "pilot=0",
        ]
    finally:
        process.kill()
        process.communicate()


def compare(recipe: Recipe, count: int) -> None:
    if recipe.folder.exists():
        raise SystemExit(f"{recipe.folder} exists; choose another `output` or name")
    run = Run(recipe)
    probe(run, count)
    found = run_async(Estimator(run).estimate())
    before, disk, began = spent(run), size(recipe.folder), time.monotonic()
    run_recipe(recipe)
    seconds, after = time.monotonic() - began, spent(run)
    stages = sum(artifact_seconds(run))
    pairs = {name: (value or 0, asdict(before)[name] or 0) for name, value in asdict(after).items()}
    used = {name: now - then for name, (now, then) in pairs.items()}
    show(found, used, stages, seconds, size(recipe.folder) - disk)


def spent(run: Run) -> Spent:
    path = run.recipe.completions or run.folder / "completions.sqlite"
    if not path.exists():
        return Spent()
    with CompletionLog(path, run=run.recipe.name, read_only=True) as log:
        return Sums(log.read_counts()).roles.get("teacher", Spent())


def artifact_seconds(run: Run) -> Iterator[float]:
    """Seconds of each stage's work, as the artifacts have them."""
    for task, method in run.trained():
        yield float((run.generate_artifact(task, method).metadata or {}).get("seconds", 0.0))
    for cell in run.cells():
        if cell.method.plugin.rounds:
            yield float((run.train_artifact(cell).metadata or {}).get("seconds", 0.0))
    for one in run.answered():
        yield float((run.infer_artifact(*one).metadata or {}).get("seconds", 0.0))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(found: Estimate, used: dict[str, Any], stages: float, seconds: float, disk: float) -> None:
    rows = [
        ("completions", found.total("completions"), used["completions"]),
        ("prompt tokens", found.total("prompt_tokens"), used["prompt_tokens"]),
        ("reply tokens", found.total("reply_tokens"), used["completion_tokens"]),
        ("money, $", found.total("money"), used["money"]),
        ("seconds of stages", found.total("seconds"), stages),
        ("seconds in all", found.total("seconds"), seconds),
        ("disk, bytes", found.total("bytes"), disk),
    ]
    print(f"| {'':<17} | {'estimated':>12} | {'used':>12} | ratio |\n|---|---|---|---|")
    for name, estimated, real in rows:
        ratio = f"{estimated / real:.2f}" if real else "–"
        print(f"| {name:<17} | {estimated:>12,.2f} | {real:>12,.2f} | {ratio} |")
    for line in found.sources:
        print(f"- {line}")


if __name__ == "__main__":
    main()
