"""`cotdistill tokens`: what a student will learn from, token by token, before any hour is spent on training."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cotdistill.records import Example
    from cotdistill.runs.grid import Cell
    from cotdistill.runs.run import Run

__all__ = ["register"]

_ENOUGH = 2_000
"""Rationales that the totals are counted over."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def tokens(
        recipe: Annotated[
            Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)
        ],
        count: Annotated[int, typer.Option(help="Examples to show of each method and role.")] = 2,
        set: Annotated[
            list[str] | None, typer.Option("--set", help="Override a setting.", show_default=False)
        ] = None,
    ) -> None:
        """Show training examples as tokens: what is read, what is learnt. Run `curate` first."""
        from cotdistill.recipe import load_recipe
        from cotdistill.runs.run import Run
        from cotdistill.util.progress import SilentProgress

        run = Run(load_recipe(recipe, set or []), SilentProgress())
        for cell in run.cells():
            if cell.seed != run.recipe.seeds[0]:
                continue
            for role in dict.fromkeys(
                role for roles in cell.method.plugin.rounds for role in roles
            ):
                examples = [example for example in _examples(run, cell) if example.role == role]
                if examples:
                    typer.echo(
                        f"== {cell.task.label} · {cell.method.label} · {cell.student.label} · {role}"
                    )
                    typer.echo(
                        cell.student.plugin.preview(examples, cell.method.train, count) + "\n"
                    )


def _examples(run: Run, cell: Cell) -> list[Example]:
    from cotdistill.errors import DataError
    from cotdistill.records import Rationale
    from cotdistill.util.files import read_records

    artifact = run.curate_artifact(cell.task, cell.method)
    if artifact.metadata is None:
        raise DataError(
            f"{artifact.folder}: no curated rationales of this very recipe there; run `cotdistill run` or its stages"
        )
    questions = {question.id: question for question in run.questions(cell.task, "train")}
    method = run.method(cell.task, cell.method)
    kept = islice(read_records(artifact.folder / "kept.jsonl", Rationale), _ENOUGH)
    return [
        example for item in kept for example in method.examples(questions[item.question_id], item)
    ]
