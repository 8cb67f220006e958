"""`cotdistill merge`: what the shards of a run made becomes what one run would have made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.run import Overrides


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def merge(
        recipe: Annotated[
            Path, typer.Argument(help="The recipe, or a folder that holds it.", show_default=False)
        ],
        shards: Annotated[
            list[Path] | None,
            typer.Argument(help="Folders of all shards, if not in the run's own.", metavar="SHARD"),
        ] = None,
        set: Overrides = None,
    ) -> None:
        """Join the shards of `generate --shard` or `infer --shard`; may be repeated."""
        from cotdistill.recipe import load_recipe
        from cotdistill.stages.merge import merge_shards

        path = recipe / "recipe.yaml" if recipe.is_dir() else recipe
        for line in merge_shards(load_recipe(path, set or []), shards or []):
            typer.echo(line)
