"""`cotdistill bench`: what this machine can do, what a recipe's student reaches of it, and how long
the recipe will take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotdistill.cli.run import Overrides

if TYPE_CHECKING:
    from cotdistill.contracts import Pace
    from cotdistill.runs.speed import MachineSpeed


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def bench(
        recipe: Annotated[
            Path | None, typer.Argument(help="A recipe, to time its students too.")
        ] = None,
        set: Overrides = None,
    ) -> None:
        """Measure the machine, and a recipe's students: achieved of possible, and its time."""
        from cotdistill.recipe import load_recipe
        from cotdistill.runs.estimate import Estimator
        from cotdistill.runs.run import Run
        from cotdistill.runs.speed import measure_machine
        from cotdistill.util.concurrency import run_async

        machine = measure_machine()
        rates = ", ".join(
            f"{rate / 1e9:,.0f} GFLOP/s {name}" for name, rate in machine.products.items()
        )
        typer.echo(f"{machine.device}: {rates}; memory {machine.memory / 1e9:.1f} GB/s")
        if recipe is None:
            return
        estimator = Estimator(Run(load_recipe(recipe, set or [])), teacher=False)
        rows = run_async(estimator.estimate()).rows
        for label, pace in estimator.paces.items():
            if pace is not None:
                typer.echo(_line(label, pace, machine))
        for stage in ("train", "infer"):
            seconds = sum(row.seconds or 0.0 for row in rows if row.stage == stage)
            typer.echo(f"{stage}, all that is not done: {seconds / 60:,.1f} minutes")


def _line(label: str, pace: "Pace", machine: "MachineSpeed") -> str:
    from cotdistill.runs.speed import shares_of_possible

    learning, answering = shares_of_possible(pace, machine)
    return (
        f"{label}: {1 / pace.token:,.0f} tokens/s learnt from ({learning:.0%} of possible) and "
        f"{pace.step:.2g} s a step; {1 / pace.answer_token:,.0f} tokens/s of answers, "
        f"{pace.rows} at once ({answering:.0%} of possible), and {pace.answer:.2g} s an answer"
    )
