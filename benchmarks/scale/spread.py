"""Measures training on several processes against one: losses and weights, DDP and FSDP.

    CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 python benchmarks/scale/spread.py

The lab's student and a random T5 of four layers without dropout learn the same sums in float32; the
last row is broken off twice and goes on with another number of processes. Prints a table.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from cotdistill.contracts import TrainResult, TrainSettings
from cotdistill.records import Example
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint, train_on

EXAMPLES = [
    Example(
        "student",
        f"Ana has {a} apples and buys {b} more. How many apples does she have now?",
        f"Ana starts with {a} apples. {a} + {b} = {a + b}. The answer is {a + b}.",
    )
    for a in range(2, 12)
    for b in range(2, 10)
]
T5 = {"model_type": "t5", "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 4, "num_heads": 4}
SETTINGS = TrainSettings(
    epochs=2, precision="float32", selection="last", save_minutes=1e-9, learning_rate=1e-3
)
RUNS: dict[str, list[tuple[int, str, int]]] = {
    "1 process": [(1, "ddp", 0)],
    "DDP, 2": [(2, "ddp", 0)],
    "FSDP, 2": [(2, "fsdp", 0)],
    "DDP 2 → 1 → DDP 2": [(2, "ddp", 7), (1, "ddp", 14), (2, "ddp", 0)],
    "FSDP 2 → 1 → FSDP 2": [(2, "fsdp", 7), (1, "ddp", 14), (2, "fsdp", 0)],
}
"""Processes, strategy, and the step in which a part is broken off (0: it ends)."""


def trained(
    student: TransformersStudent, out: Path, parts: list[tuple[int, str, int]]
) -> TrainResult:
    """Train in parts; return the figures of the last."""
    for processes, strategy, until in parts:

        def progress(count: int, note: str, until: int = until) -> None:
            if note.startswith(f"step {until}/"):
                raise KeyboardInterrupt

        spread = {"processes": processes, "strategy": strategy}
        settings = SETTINGS.model_copy(update=spread)
        try:
            result = train_on(EXAMPLES, student, settings, out, seed=3, on_progress=progress)
        except KeyboardInterrupt:
            continue
    return result


def main() -> None:
    print("| student | trained by | first loss | last loss | losses differ by | weights, mean |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reader = tiny_checkpoint(folder / "t5", "t5", texts=[one.prompt for one in EXAMPLES])
        size = {"vocab_size": 220, "decoder_start_token_id": 0, "dropout_rate": 0.0}
        students = {
            "lab": TransformersStudent(model="lab"),
            "T5, 4 layers": TransformersStudent(config={**T5, **size}, tokenizer=str(reader)),
        }
        for label, student in students.items():
            losses, weights = list[float](), dict[str, Any]()
            for number, (run, parts) in enumerate(RUNS.items()):
                out = folder / f"{label}-{number}"
                result = trained(student, out, parts)
                own = [float(one["loss"]) for one in result.history if "loss" in one]
                made = load_file(out / "model.safetensors")
                losses, weights = losses or own, weights or made
                apart = max(abs(a - b) for a, b in zip(losses, own, strict=True))
                far = max(float((made[key] - weights[key]).abs().mean()) for key in weights)
                figures = f"{own[0]:.5f} | {own[-1]:.5f} | {apart:.0e} | {far:.0e}"
                print(f"| {label} | {run} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
