"""The measurements of escalation, as the run folder keeps it beside the model.

    …/seed-0/escalate-greedy/validation.jsonl   signal, who is right, and tokens, a question a line
                             escalation.json    calibration, every threshold, the verdict
                             escalation.md      the same as a table
                             checks.json        what thresholds gave on test, each checked once

It holds for the very recipe it was measured with: `measuring` makes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cotdistill.contracts import Method
from cotdistill.errors import UserError
from cotdistill.methods.zero_shot_cot import ZeroShotCot
from cotdistill.records import Record
from cotdistill.runs.run import Run
from cotdistill.runs.store import Artifact
from cotdistill.serving.choosing import Contender
from cotdistill.serving.escalation import (
    Calibration,
    Escalation,
    Measured,
    Operating,
    at,
    cheapest,
    curve,
    fit,
    verdict,
)
from cotdistill.util.files import read_json, read_records


@dataclass(frozen=True, slots=True)
class Check(Record):
    """The promise of a threshold on validation, and what test gave, `inside` that or not."""

    below: float
    promised: float
    promised_low: float
    promised_high: float
    accuracy: float
    low: float
    high: float
    n: int
    share: float
    tokens: float
    inside: bool


class Measurement:
    """Student and teacher on the validation split of a run."""

    def __init__(self, artifact: Artifact, measured: Sequence[Measured]) -> None:
        self.artifact, self.measured = artifact, measured
        self.calibration: Calibration = fit(measured)
        self.points: list[Operating] = curve(measured, self.calibration)

    def operating(self, *, below: float | None, accuracy: float | None) -> Operating:
        """Return the threshold asked for, or the cheapest that is so accurate on validation.

        Raises:
            UserError: none is so accurate.
        """
        if below is not None:
            return at(self.measured, self.calibration, below)
        assert accuracy is not None
        if (found := cheapest(self.points, accuracy)) is None:
            best = max(self.points, key=lambda one: one.accuracy)
            raise UserError(
                f"--accuracy {accuracy}: no threshold reaches it on validation; the most is "
                f"{best.accuracy:.3f}, below {best.below:.3f}"
            )
        return found

    def shown(self) -> list[Operating]:
        """Return some thresholds for a table: the first of each tenth of the questions."""
        tenths = {min(int(10 * one.share), 10): one for one in reversed(self.points)}
        return [tenths[tenth] for tenth in sorted(tenths)]

    def checks(self) -> list[Check]:
        """Return what has been checked on test."""
        path = self.artifact.folder / "checks.json"
        return [Check.from_json(one) for one in read_json(path)] if path.exists() else []


def measurement(run: Run, chosen: Contender) -> Measurement:
    """Return what was measured before.

    Raises:
        UserError: nothing was, or for another recipe.
    """
    artifact = artifact_of(run, chosen)
    if artifact.metadata is None:
        raise UserError(
            f"{run.folder}: escalation of {chosen.cell.method.label!r} was not measured for this "
            "recipe; run `cotdistill escalate` first"
        )
    return Measurement(artifact, list(read_records(artifact.folder / "validation.jsonl", Measured)))


def escalation(
    run: Run, chosen: Contender, *, below: float | None, accuracy: float | None
) -> Escalation | None:
    """Return when a system is to ask its teacher, as it was measured; None without a threshold."""
    if below is None and accuracy is None:
        return None
    found = measurement(run, chosen)
    point = found.operating(below=below, accuracy=accuracy)
    return Escalation(found.calibration, point.below, teacher_method(run, chosen)[1])


def artifact_of(run: Run, chosen: Contender) -> Artifact:
    """Return the folder of what is measured, and what it is made from."""
    method = teacher_method(run, chosen)[1]
    return run.escalation_artifact(chosen.cell, chosen.strategy, method)


def teacher_method(run: Run, chosen: Contender) -> tuple[str, Method]:
    """Return how the teacher is asked: as in the recipe's first row of it, else zero-shot CoT."""
    for method in run.recipe.methods:
        if method.plugin.prompted_role == "teacher":
            return method.label, run.method(chosen.cell.task, method)
    return "zero_shot_cot", ZeroShotCot(role="teacher")


def table(found: Measurement, points: Sequence[Operating]) -> str:
    """Return thresholds as a Markdown table, shares in %."""
    lines = [
        f"n = {len(found.measured)} validation questions. {verdict(found.points)}.",
        "",
        "| teacher below | questions to it | accuracy [95 %] | its tokens a question | of all |",
        "|---|---|---|---|---|",
    ]
    for one in points:
        held = f"{100 * one.accuracy:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"
        cost = f"{one.tokens:.1f} | {100 * one.token_share:.0f} %"
        lines.append(f"| {one.below:.4f} | {100 * one.share:.1f} % | {held} | {cost} |")
    return "\n".join(lines) + "\n"


def promise(made: Check, thresholds: int) -> str:
    """Say what validation promised and test gave; `thresholds` is how many were checked so far."""
    promised = f"{100 * made.promised:.1f} [{100 * made.promised_low:.1f}, "
    gave = f"{100 * made.accuracy:.1f} % [{100 * made.low:.1f}, {100 * made.high:.1f}]"
    held = "inside" if made.inside else "OUTSIDE"
    seen = "" if thresholds == 1 else f"; {thresholds} thresholds have been checked on test"
    return (
        f"below {made.below:.4f}: promised {promised}{100 * made.promised_high:.1f}] %, test gave "
        f"{gave} (n = {made.n}), {held} what was promised; the teacher was asked "
        f"{100 * made.share:.1f} % of the questions, {made.tokens:.1f} tokens a question{seen}"
    )
