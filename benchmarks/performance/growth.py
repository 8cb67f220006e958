"""How costs grow with data, D, length and model: 1, 2, 4 and 8 times, as a table and a plot.

    python benchmarks/performance/growth.py --out results            # needs matplotlib

Processor seconds of one thread, so that other work on the machine changes little. Data: examples
tokenised and drawn for an epoch. D: a step on one question, with shared prompts and without.
Length: a step of two examples whose prompts and targets grow. Model: a step as layers grow.
Training runs the real student's width with `--layers` layers of its 30; layers grow from 2.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from measure import training
from run import BASE

FACTORS = (1, 2, 4, 8)


def data(factor: int) -> float:
    """Processor seconds to tokenise and draw 2,000 examples times `factor`."""
    from cotdistill.checkpoints.loading import load_tokenizer
    from cotdistill.checkpoints.text import TextCodec
    from cotdistill.contracts import TrainSettings
    from cotdistill.objectives.cross_entropy import CrossEntropy
    from cotdistill.records import Example
    from cotdistill.students._data import ExampleBatches, prepare

    codec = TextCodec(load_tokenizer("lab"), " ###", " ")
    text = "Ana has {} apples and buys {} more, then gives {} to Ben. How many are left?"
    examples = [
        Example("student", text.format(n, n + 3, 2), f"{n} + {n + 3} - 2 = {2 * n + 1}. " * 4)
        for n in range(500 * factor)
        for _ in range(4)
    ]
    began = time.process_time()
    rows = prepare(examples, codec, CrossEntropy(), TrainSettings()).rows
    list(ExampleBatches(rows, 16, seed=0))
    return time.process_time() - began


def step(layers: int, **more: Any) -> float:
    what = {**BASE, "bf16": False, "who": "ours", "layers": layers, **more}
    return float(what["batch"] / training(what)["examples_per_processor_s"])


def measured(layers: int) -> dict[str, list[float]]:
    def sizes(**by: Any) -> list[float]:
        return [step(layers, **{key: make(f) for key, make in by.items()}) for f in FACTORS]

    def same(value: Any) -> Any:
        return lambda factor: value

    return {
        "data": [data(factor) for factor in FACTORS],
        "D, shared": sizes(d=lambda f: f, batch=lambda f: f),
        "D, separate": sizes(d=same(1), batch=lambda f: f),
        "length": sizes(d=same(1), batch=same(2), p=lambda f: 31 * f, r=lambda f: 36 * f),
        "layers": [step(2 * factor, d=1, batch=2) for factor in FACTORS],
    }


def table(costs: dict[str, list[float]]) -> str:
    lines = ["| what grows | 1× | 2× | 4× | 8× | 8× ÷ 1× |", "|---|---|---|---|---|---|"]
    for name, seconds in costs.items():
        cells = " | ".join(f"{one:.2f} s" for one in seconds)
        lines.append(f"| {name} | {cells} | {seconds[-1] / seconds[0]:.1f} |")
    return "\n".join(lines)


def plot(costs: dict[str, list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    for name, seconds in costs.items():
        axes.plot(FACTORS, [one / seconds[0] for one in seconds], marker="o", label=name)
    axes.plot(FACTORS, FACTORS, color="grey", linestyle=":", label="linear")
    axes.set(xscale="log", yscale="log", xlabel="times as much", ylabel="times the processor time")
    axes.set_xticks(FACTORS, [f"{factor}×" for factor in FACTORS])
    axes.set_yticks(FACTORS, [f"{factor}×" for factor in FACTORS])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--plot-only", action="store_true", help="from growth.json that is there")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    path = options.out / "growth.json"
    if not options.plot_only:
        path.write_text(json.dumps(measured(options.layers)), "utf-8")
    costs = json.loads(path.read_text("utf-8"))
    plot(costs, options.out / "growth.svg")
    print(table(costs))


if __name__ == "__main__":
    main()
