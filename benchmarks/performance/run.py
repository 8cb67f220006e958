"""Training and answering against trl, the transformers Trainer and `generate`, within a time.

    python benchmarks/performance/run.py --seconds 850 --out results     # two idle cores
    python benchmarks/performance/run.py --rehearse --out results        # a tiny model, a minute

Needs `pip install trl matplotlib` and the extra `ctranslate2`; the student is SmolLM2-135M (its
shape for training, `smollm2` itself for answers). Every measurement is a process of its own
(`measure.py`), in the order of their value; the members of a row run one after the other, the
whole plan again while time is left. Writes results.jsonl as it goes, and results.md: medians, and
ratios of what ran in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BASE = {"kind": "training", "shape": "llama", "p": 62, "r": 73, "batch": 8, "steps": 1}
THREE = ("ours", "trainer", "trl")
INT8: dict[str, Any] = {"name": "ctranslate2"}
BF16: dict[str, Any] = {"name": "transformers", "dtype": "bfloat16"}
FLOAT: dict[str, Any] = {"name": "ctranslate2", "dtype": "float32"}


def plan(file: str | None) -> list[tuple[str, list[dict[str, Any]]]]:
    def train(who: tuple[str, ...] = THREE, **more: Any) -> list[dict[str, Any]]:
        return [{**BASE, "bf16": False, **more, "who": one} for one in who]

    ask = {"kind": "answering", "limit": 96, "questions": 32, "file": file}
    engines: list[Any] = ["transformers", "generate", INT8, BF16, FLOAT]
    real = {**ask, "questions": 200, "limit": 256}
    few = {**ask, "questions": 4, "limit": 64, "who": "transformers"}
    sixteen = [{**few, "samples": 16}, {**few, "passes": 16}]
    return [
        ("matrix rate", [{"kind": "rate"}]),
        ("SFT D=4 float32", train(d=4)),
        ("SFT D=1 float32", train(d=1)),
        ("greedy answers", [{**ask, "who": one} for one in engines]),
        ("SFT D=4 bfloat16", train(d=4, bf16=True)),
        ("SFT D=8 float32", train(d=8)),
        ("SFT D=4, prompts of 250", train(("ours", "trl"), d=4, p=250)),
        ("T5-small shape D=8", train(("ours", "trainer"), d=8, shape="t5", batch=16)),
        ("16 samples", sixteen),
        ("SFT D=4 alone in pieces", train(("ours",), d=4, batch_tokens=300)),
        ("200 real answers", [{**real, "who": one} for one in ("transformers", "generate", INT8)]),
    ]


def once(what: dict[str, Any], limit: float) -> dict[str, Any]:
    """Run one measurement; sixteen passes are measured as one and multiplied."""
    passes = what.get("passes", 1)
    command = [sys.executable, "-W", "ignore", str(HERE / "measure.py"), json.dumps(what)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=max(5.0, limit), check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": "out of time"}
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            if passes > 1:
                result["seconds"] *= passes
            return result
    return {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1][:300]}


def name(what: dict[str, Any]) -> str:
    who = what.get("who", "machine")
    label = who if isinstance(who, str) else f"{who['name']} {who.get('dtype', 'int8')}"
    if what["kind"] == "answering" and label == "transformers":
        label = "ours"
    suffix = "samples" if what.get("samples") else "passes" if what.get("passes") else ""
    return f"{label} ×16 {suffix}" if suffix else label


def table(rows: list[dict[str, Any]]) -> str:
    """Return medians of every member of every row, and ratios within rounds, as Markdown."""
    found: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        if "failed" not in row:
            found[row["row"], row["who"]][row["round"]] = row
    lines = [
        "| row | who | per s | of the matrix rate | peak GB | ours ÷ it (wall) | (processor) | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (what, who), rounds in found.items():
        if what == "matrix rate":
            rates = ", ".join(
                f"{r['float32'] / 1e9:.0f}, {r['bfloat16'] / 1e9:.0f}" for r in rounds.values()
            )
            lines.append(f"| {what} (GFLOP/s float32, bfloat16) | machine | {rates} | | | | | |")
            continue
        first = next(one for one in found if one[0] == what)
        cells = [_median(rounds.values(), "examples_per_s", "tokens_per_s")]
        cells += [_median(rounds.values(), "share_of_rate"), _median(rounds.values(), "peak_gb")]
        cells += [
            _ratio(found[first], rounds, *keys)
            for keys in (
                ("examples_per_s", "tokens_per_s"),
                ("examples_per_processor_s", "tokens_per_processor_s"),
            )
        ]
        lines.append(f"| {what} | {who} | {' | '.join(cells)} | {len(rounds)} |")
    failed = [f"- {r['row']}, {r['who']}: {r['failed']}" for r in rows if "failed" in r]
    return "\n".join(
        [*lines, *_agreement(rows), *(["", "Not measured:", "", *failed] if failed else [])]
    )


def _value(row: dict[str, Any], *keys: str) -> float | None:
    return next((row[key] for key in keys if key in row), None)


def _median(rows: Any, *keys: str) -> str:
    values = [value for row in rows if (value := _value(row, *keys)) is not None]
    return f"{statistics.median(values):.3g}" if values else ""


def _ratio(ours: dict[int, Any], other: dict[int, Any], *keys: str) -> str:
    if ours is other:
        return ""
    values = [
        a / b
        for number in ours.keys() & other.keys()
        if (a := _value(ours[number], *keys)) and (b := _value(other[number], *keys))
    ]
    return f"{statistics.median(values):.2f}" if values else ""


def _agreement(rows: list[dict[str, Any]]) -> list[str]:
    """Return how many greedy texts of each engine are ours."""
    texts = {row["who"]: row["texts"] for row in rows if row.get("texts")}
    base = texts.get("ours", [])
    lines = [""]
    for who, own in texts.items():
        if who != "ours" and base:
            same = sum(a == b for a, b in zip(base, own, strict=False))
            lines.append(f"Greedy texts of {who} equal to ours: {same} of {len(own)}.")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=850.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument(
        "--questions", help="JSON Lines with `question`, such as GSM8K's test split"
    )
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.seconds
    rows = list[dict[str, Any]]()
    todo = [one for one in plan(options.questions) if options.only in one[0]]
    with (options.out / "results.jsonl").open("w", encoding="utf-8") as file:
        for number in range(1 if options.rehearse else options.rounds):
            for what, members in todo:
                for member in members:
                    member = {**member, "layers": options.layers}
                    if options.rehearse:
                        member |= {"layers": 1, "batch": member.get("d", 2), "limit": 4}
                        member |= {"questions": 2}
                    left = deadline - time.monotonic()
                    if left < 5:
                        break
                    began = time.monotonic()
                    row = {"row": what, "who": name(member), "round": number}
                    row |= once(member, left) | {"took_s": round(time.monotonic() - began, 1)}
                    rows.append(row)
                    shown = {key: value for key, value in row.items() if key != "texts"}
                    print(json.dumps(shown), flush=True)
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    (options.out / "results.md").write_text(table(rows) + "\n", "utf-8")
    print(table(rows))
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
