"""Puts the five papers' headline claims to the test on the lab and writes docs/claims.md.

    .venv/bin/python benchmarks/methods/claims.py    # all, into runs/claims; a second call resumes
    .venv/bin/python benchmarks/methods/claims.py --only sci_cot

A rehearsal: `--set limit.train=20 --set limit.test=8 --out /tmp/claims.md`.

Every comparison is paired on the same test questions, seeds and questions as clusters, p corrected
for all tests of the page (Holm). "holds": the difference has the claimed sign and p < 0.05. "does
not hold": it does not, whatever the reason; the figures say which. "not testable here": both rows
guess, or the claim is one of equality, where only the interval says something. The lab is generated
tasks (four) and models of a million parameters: it tests methods, not the papers' numbers.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cotdistill.evaluation import statistics
from cotdistill.evaluation.grid import Scored
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import load_recipe
from cotdistill.records import Rationale, Verdict
from cotdistill.runs.run import Run
from cotdistill.util.files import read_json, read_jsonl, read_records, write_text
from cotdistill.util.progress import ConsoleProgress

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Grid:
    """A finished run, asked by labels."""

    run: Run

    def cells(self, method: str, strategy: str = "greedy", task: str = "") -> list[Path]:
        """Folders of the answers of every seed."""
        return [
            self.run.infer_artifact(cell, split, one).folder
            for cell, split, one in self.run.answered()
            if (cell.method.label, one.label) == (method, strategy)
            and task in ("", cell.task.label)
        ]

    def correct(self, method: str, strategy: str = "greedy", task: str = "") -> Any:
        """Right or wrong, seeds × questions."""
        folders = self.cells(method, strategy, task)
        scored = [list(read_records(folder / "scored.jsonl", Scored)) for folder in folders]
        return np.array(
            [[one.verdict is Verdict.CORRECT for one in cell] for cell in scored], dtype=float
        )

    def accuracy(self, method: str, strategy: str = "greedy", task: str = "") -> str:
        matrix = self.correct(method, strategy, task)
        low, high = statistics.accuracy_interval(matrix)
        return f"{matrix.mean():.1%} [{low:.1%}, {high:.1%}]"

    def guide_tokens(self, strategy: str, method: str) -> float:
        """Tokens a guide wrote per question."""
        scored = [
            one
            for folder in self.cells(method, strategy)
            for one in read_records(folder / "scored.jsonl", Scored)
        ]
        return sum(one.guide_tokens for one in scored) / len(scored)

    def right_rationales(self, method: str) -> Any:
        """For every training question, whether the teacher's rationales passed the filters."""
        (entry,) = (one for one in self.run.recipe.methods if one.label == method)
        task = self.run.recipe.tasks[0]
        kept = read_records(self.run.curate_artifact(task, entry).folder / "kept.jsonl", Rationale)
        ids = {rationale.question_id for rationale in kept}
        return np.array(
            [[question.id in ids for question in self.run.questions(task, "train")]], dtype=float
        )

    def minutes(self) -> float:
        """How long all jobs of the run took together."""
        notes: list[Any] = [
            read_json(path)["metadata"] for path in self.run.folder.rglob("done.json")
        ]
        return sum(float(note.get("seconds", 0)) for note in notes) / 60

    def samples_asked(self, method: str, task: str) -> float:
        """Rationales asked of the teacher per training question."""
        (entry,) = (one for one in self.run.recipe.methods if one.label == method)
        (where,) = (one for one in self.run.recipe.tasks if one.label == task)
        rows = list(
            read_jsonl(self.run.generate_artifact(where, entry).folder / "rationales.jsonl")
        )
        return sum(len(row.get("rationales", ())) for row in rows) / len(rows)


@dataclass(frozen=True)
class Finding:
    """The lab's evidence for one claim: text and the paired differences it rests on."""

    text: str
    comparisons: tuple[statistics.Comparison, ...] = ()
    n: int = 0
    testable: bool = True


@dataclass(frozen=True)
class Claim:
    """One published claim and how it is measured."""

    recipe: str
    paper: str
    statement: str
    published: str
    measure: Callable[[Grid], Finding] = field(repr=False)


CHANCE = {"rule_quiz": 0.25, "coin_flip": 0.5, "shuffled_objects": 1 / 3}
"""Accuracy of a guess, where it is not next to nothing."""


def versus(grid: Grid, one: tuple[str, ...], other: tuple[str, ...], note: str = "") -> Finding:
    """The first row must beat the second; two rows that only guess say nothing."""
    first, second = grid.correct(*one), grid.correct(*other)
    ratio = f", {first.mean() / second.mean():.1f}×" if second.mean() else ""
    text = (
        f"{_name(one)} {grid.accuracy(*one)}, {_name(other)} {grid.accuracy(*other)}{ratio}{note}"
    )
    task = one[2] if len(one) > 2 else grid.run.recipe.tasks[0].label
    chance = CHANCE.get(task.split()[0], 0.0)
    guessing = (
        all(statistics.accuracy_interval(matrix)[0] <= chance for matrix in (first, second))
        and chance > 0
    )
    if guessing:
        text += f"; both at chance ({chance:.0%})"
    return Finding(text, (statistics.compare(first, second),), first.size, testable=not guessing)


def hint(grid: Grid) -> Finding:
    first, second = grid.right_rationales("TSLM"), grid.right_rationales("TSLM without hint")
    text = f"right rationales with the hint {first.mean():.1%}, without {second.mean():.1%}"
    return Finding(text, (statistics.compare(first, second),), first.size)


def socratic(grid: Grid) -> Finding:
    rows = [
        "Socratic iterative, teacher",
        "Socratic iterative, gold",
        "Socratic unified, teacher",
        "Socratic unified, gold",
    ]
    shown = "; ".join(f"{row} {grid.accuracy(row)}" for row in [*rows, "CoT from gold steps"])
    return _joined(versus(grid, (rows[0],), ("CoT from the teacher",)), shown)


def diversity(grid: Grid) -> Finding:
    curve = ", ".join(
        f"D={d} {grid.correct(f'D={d}', 'greedy', 'word_problems').mean():.1%}"
        for d in (1, 2, 4, 8, 16)
    )
    return _joined(
        versus(grid, ("D=8", "greedy", "word_problems"), ("D=1", "greedy", "word_problems")), curve
    )


def adaptive(grid: Grid) -> Finding:
    """Equal accuracy cannot be shown by a test of difference: the interval says how unequal it may
    be."""
    task = "word_problems"
    asked, fixed = grid.samples_asked("adaptive", task), grid.samples_asked("D=16", task)
    found = statistics.compare(
        grid.correct("adaptive", "greedy", task), grid.correct("D=16", "greedy", task)
    )
    text = (
        f"adaptive {grid.accuracy('adaptive', 'greedy', task)} with {asked:.1f} samples a question,"
        f" D=16 {grid.accuracy('D=16', 'greedy', task)} with {fixed:.1f}:"
        f" {1 - asked / fixed:.0%} fewer; difference {_points(found)}"
    )
    return Finding(text, testable=False)


def timing(grid: Grid) -> Finding:
    """The first step must be worth more than each later one."""
    rows = [f"gold step {k}" for k in (1, 2, 3, 4)]
    shown = ", ".join(f"{row} {grid.accuracy('student', row)}" for row in ["greedy", *rows])
    first = grid.correct("student", rows[0])
    found = tuple(statistics.compare(first, grid.correct("student", row)) for row in rows[1:])
    return Finding(shown, found, first.size)


def uncertain(grid: Grid) -> Finding:
    rows = [
        "greedy",
        "teacher step 1 below 0.8",
        "teacher step 1 below 0.95",
        "teacher step 1",
        "self-consistency 3",
    ]
    shown = "; ".join(
        f"{row} {grid.accuracy('student', row)}"
        f" with {grid.guide_tokens(row, 'student'):.1f} guide tokens"
        for row in rows
    )
    always, sometimes = grid.guide_tokens(rows[3], "student"), grid.guide_tokens(rows[2], "student")
    gain = versus(grid, ("student", rows[2]), ("student", rows[0]))
    saved = f"; below 0.95 asks for {sometimes / always:.0%} of the guide tokens" if always else ""
    return Finding(shown + saved, gain.comparisons, gain.n)


def stages(grid: Grid) -> Finding:
    rows = [
        "two stages on the teacher's rationales",
        "two stages mixed",
        "one stage answer first",
        "answer-only",
    ]
    shown = "; ".join(
        f"{row} {grid.accuracy(row)}"
        for row in [*rows, "two stages, teacher's rationale at test time"]
    )
    return _joined(versus(grid, ("two stages",), ("one stage rationale first",)), shown)


def passes_prompted(grid: Grid) -> Finding:
    return _joined(
        versus(grid, ("two stages",), ("teacher few-shot",)),
        f"teacher few-shot CoT {grid.accuracy('teacher few-shot CoT')}",
    )


def row(first: tuple[str, ...], second: tuple[str, ...]) -> Callable[[Grid], Finding]:
    return functools.partial(versus, one=first, other=second)


TSLM, SOCRATIC, FTCOT = "Magister et al. 2023", "Shridhar et al. 2023", "Ho et al. 2023"
FIRST, SCICOT = "Jain et al. 2023", "Ma et al. 2023"

CLAIMS = [
    Claim(
        "tslm",
        TSLM,
        "CoT tuning beats answer-only tuning",
        "8.11 → 21.99, 2.7×",
        row(("TSLM",), ("answer-only",)),
    ),
    Claim(
        "tslm",
        TSLM,
        "the hint makes more teacher rationales right",
        "59.98 → 79.37 % (recalled)",
        hint,
    ),
    Claim(
        "tslm",
        TSLM,
        "a calculator adds to it",
        "21.99 → 38.21 (recalled)",
        row(("TSLM", "calculator"), ("TSLM",)),
    ),
    Claim(
        "socratic",
        SOCRATIC,
        "Socratic CoT beats answer-only tuning",
        "4.62 (recalled) → 21.1",
        row(("Socratic iterative, teacher",), ("answer-only",)),
    ),
    Claim(
        "socratic",
        SOCRATIC,
        "Socratic CoT beats CoT tuning",
        "14.1 → 21.1; > 70 % over baselines",
        socratic,
    ),
    Claim(
        "diversity",
        FTCOT,
        "diverse rationales help",
        "33.3 → 53.3 (MultiArith, 6.7B, D = 64)",
        diversity,
    ),
    Claim(
        "diversity",
        FTCOT,
        "students can pass their teacher (word_problems)",
        "–",
        row(("D=16", "greedy", "word_problems"), ("teacher", "greedy", "word_problems")),
    ),
    Claim(
        "fine_tune_cot",
        FTCOT,
        "students can pass their teacher (coin_flip)",
        "90.0 → 98.7 (coin flip)",
        row(("D=8", "greedy", "coin_flip"), ("teacher", "greedy", "coin_flip")),
    ),
    Claim(
        "fine_tune_cot",
        FTCOT,
        "students can pass their teacher (shuffled_objects)",
        "e.g. shuffled objects",
        row(("D=8", "greedy", "shuffled_objects"), ("teacher", "greedy", "shuffled_objects")),
    ),
    Claim("diversity", "ours", "adaptive sampling saves samples at equal accuracy", "–", adaptive),
    Claim(
        "first_step",
        FIRST,
        "a right first step helps",
        "13.64 → 37.90, > 100 %",
        row(("student", "gold step 1"), ("student", "greedy")),
    ),
    Claim("first_step", FIRST, "help is worth most at the first step", "–", timing),
    Claim(
        "first_step",
        FIRST,
        "a wrong first step hurts (control)",
        "–",
        row(("student", "greedy"), ("student", "wrong step 1")),
    ),
    Claim(
        "first_step",
        FIRST,
        "a leading sub-question helps (QuestCoT)",
        "13.6 → 19.4",
        row(("student", "QuestCoT asked by the teacher"), ("student", "greedy")),
    ),
    Claim("first_step", "ours", "asking the guide only where unsure helps too", "–", uncertain),
    Claim("sci_cot", SCICOT, "two stages beat one", "–", stages),
    Claim(
        "sci_cot",
        SCICOT,
        "a small student passes a far larger prompted model",
        "80M > 176B few-shot",
        passes_prompted,
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", help="recipe of recipes/claims by name; may be repeated"
    )
    parser.add_argument(
        "--set", action="append", default=[], help="override a setting of every recipe"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "claims.md")
    options = parser.parse_args()
    chosen = [claim for claim in CLAIMS if not options.only or claim.recipe in options.only]
    grids = dict[str, Grid]()
    for name in dict.fromkeys(claim.recipe for claim in chosen):
        recipe = load_recipe(ROOT / "recipes" / "claims" / f"{name}.yaml", options.set)
        grids[name] = Grid(run_recipe(recipe, ConsoleProgress(Console())))
    lab = page(chosen, grids)
    # The part on real models stands above and is written by hand.
    earlier = options.out.read_text("utf-8") if options.out.exists() else ""
    before, found, _ = earlier.partition(lab.splitlines()[0])
    write_text(options.out, (before if found else "") + lab)
    print(options.out)


def page(claims: Sequence[Claim], grids: dict[str, Grid]) -> str:
    """The whole of docs/claims.md."""
    findings = [claim.measure(grids[claim.recipe]) for claim in claims]
    corrected = iter(
        statistics.holm([one.p for finding in findings for one in finding.comparisons])
    )
    lines = [
        "# The papers' claims on the lab",
        "",
        (
            "Written by `.venv/bin/python benchmarks/methods/claims.py`, which runs "
            "`recipes/claims/*.yaml`; do not edit."
        ),
        "",
        *(__doc__ or "").strip().split("\n\n")[-1].split("\n"),
        "",
        "Accuracies with 95 % intervals; p is paired and corrected for all tests of this page. "
        "Published figures are of other tasks and models; those marked so are recalled, not "
        "checked.",
        "",
        ("| claim | published | on the lab | difference, p | n | verdict | recipe |"),
        "|---|---|---|---|---|---|---|",
    ]
    for claim, finding in zip(claims, findings, strict=True):
        p_values = [next(corrected) for _ in finding.comparisons]
        tests = "; ".join(
            f"{_points(one)}, p={p:.2g}"
            for one, p in zip(finding.comparisons, p_values, strict=True)
        )
        holds = all(
            one.difference > 0 and p < 0.05
            for one, p in zip(finding.comparisons, p_values, strict=True)
        )
        verdict = (
            ("holds" if holds else "does not hold") if finding.testable else "not testable here"
        )
        cells = [
            f"{claim.statement} ({claim.paper})",
            claim.published,
            finding.text,
            tests,
            str(finding.n or "–"),
        ]
        lines.append(f"| {' | '.join([*cells, verdict, claim.recipe])} |")
    for name, grid in grids.items():
        lines += [
            "",
            f"## {name}",
            "",
            (
                f"`cotdistill run recipes/claims/{name}.yaml`, {grid.minutes():.0f} minutes of "
                "all jobs."
            ),
            "",
        ]
        lines += [
            "| task | method | strategy | accuracy % | tokens | guide tokens |",
            "|---|---|---|---|---|---|",
        ]
        for one in read_json(grid.run.folder / "scores.json")["rows"]:
            shown = f"{100 * one['accuracy']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
            cells = [
                one["task"],
                one["method"],
                one["strategy"],
                shown,
                f"{one['tokens']:.0f}",
                f"{one['guide_tokens']:.1f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _name(place: tuple[str, ...]) -> str:
    return (
        place[1]
        if place[0] == "student"
        else place[0] + (" with calculator" if place[1:2] == ("calculator",) else "")
    )


def _joined(finding: Finding, more: str) -> Finding:
    return replace(finding, text=f"{finding.text}; {more}")


def _points(one: statistics.Comparison) -> str:
    return f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}] points"


if __name__ == "__main__":
    main()
