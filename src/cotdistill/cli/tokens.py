"""`cotdistill tokens`: what a student will learn from, token by token, before any training."""

from itertools import islice
from typing import Annotated

import typer

from cotdistill.cli.run import Overrides, RecipePath

_ENOUGH = 2_000
"""Examples that the totals are counted over."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def tokens(
        recipe: RecipePath,
        count: Annotated[int, typer.Option(help="Examples to show of each method and role.")] = 2,
        set: Overrides = None,
    ) -> None:
        """Show training examples as tokens: what is read, what is learnt. Run `curate` first."""
        from cotdistill.cli.export import curated_examples
        from cotdistill.recipe import load_recipe
        from cotdistill.runs.run import Run

        run = Run(load_recipe(recipe, set or []))
        for cell in run.cells():
            roles = dict.fromkeys(role for roles in cell.method.plugin.rounds for role in roles)
            if cell.seed != run.recipe.seeds[0] or not roles:
                continue
            curated = list(islice(curated_examples(run, cell.task, cell.method), _ENOUGH))
            for role in roles:
                examples = [example for example in curated if example.role == role]
                if examples:
                    where = (cell.task.label, cell.method.label, cell.student.label, role)
                    typer.echo(f"== {' · '.join(where)}")
                    student, settings = cell.student.plugin, cell.method.train
                    typer.echo(student.preview(examples, settings, count) + "\n")
