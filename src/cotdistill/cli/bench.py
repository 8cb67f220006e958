"""`cotdistill bench`: what this machine can do, what a recipe's student reaches of it, and how long
the recipe will take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotdistill.cli.run import Overrides

if TYPE_CHECKING:
    from cotdistill.runs.grid import Cell
    from cotdistill.runs.run import Run
    from cotdistill.runs.speed import StudentSpeed


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
        from cotdistill.runs.run import Run
        from cotdistill.runs.speed import measure_machine, measure_student

        machine = measure_machine()
        rates = ", ".join(
            f"{rate / 1e9:,.0f} GFLOP/s {name}" for name, rate in machine.products.items()
        )
        typer.echo(f"{machine.device}: {rates}; memory {machine.memory / 1e9:.1f} GB/s")
        if recipe is None:
            return
        run = Run(load_recipe(recipe, set or []))
        total = 0.0
        known: dict[str, StudentSpeed] = {}
        for cell in run.cells():
            if not cell.method.plugin.rounds:
                continue
            name = (
                f"{cell.task.label} · {cell.student.label} · batch {cell.method.train.batch_size}"
            )
            if name not in known:
                known[name] = measure_student(run, cell, machine)
                typer.echo(_line(name, known[name]))
            total += _seconds(run, cell, known[name])
        typer.echo(
            f"training and greedy answers of all cells: {total / 60:,.1f} minutes "
            "(without the teacher, validation and stops before the last epoch)"
        )


def _line(name: str, speed: "StudentSpeed") -> str:
    learning, answering = (
        "" if share is None else f" ({share:.0%} of possible)"
        for share in (speed.learning, speed.answering)
    )
    return (
        f"{name}: {speed.step_seconds:.3g} s a step of {speed.step_examples} examples, "
        f"{speed.example_tokens:.0f} tokens each{learning}; "
        f"{speed.tokens_per_second:,.0f} tokens/s of answers{answering}"
    )


def _seconds(run: "Run", cell: "Cell", speed: "StudentSpeed") -> float:
    """Return what a cell takes; every rationale that is asked for is taken to be kept."""
    method = cell.method.plugin
    samples = int(method.model_dump().get("samples", 1))
    _, questions = run.digest(cell.task.label, "train")
    roles = sum(map(len, method.rounds))
    answers = sum(run.digest(cell.task.label, split)[1] for split in run.recipe.evaluate_on)
    learning = roles * speed.training_seconds(questions * samples, cell.method.train)
    return learning + speed.answer_seconds(answers)
