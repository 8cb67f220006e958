"""`cotdistill push`: a trained student to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def push(
        folder: Annotated[
            Path,
            typer.Argument(help="A run folder, or a folder that `export model` wrote."),
        ],
        repo: Annotated[str, typer.Option(help="NAME or OWNER/NAME.", show_default=False)],
        task: Annotated[str | None, typer.Option(help="Label of the task.")] = None,
        method: Annotated[str | None, typer.Option(help="Label of the method.")] = None,
        student: Annotated[str | None, typer.Option(help="Label of the student.")] = None,
        seed: Annotated[int | None, typer.Option(help="The seed it was trained with.")] = None,
        license: Annotated[str, typer.Option(help="Licence named in the model card.")] = "",
        public: Annotated[bool, typer.Option("--public", help="For everyone to see.")] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="List what would be sent; send nothing.")
        ] = False,
    ) -> None:
        """Send a trained student to the hub; a new repository is private."""
        import tempfile

        from cotdistill.runs.run import open_run
        from cotdistill.sharing import hub
        from cotdistill.sharing.card import ExportSettings
        from cotdistill.sharing.model import export_model, trained_cell
        from cotdistill.util.terminal import printable

        with tempfile.TemporaryDirectory() as scratch:
            if (folder / "recipe.yaml").exists():
                run = open_run(folder)
                cell = trained_cell(run, task=task, method=method, student=student, seed=seed)
                folder = Path(scratch) / "model"
                export_model(run, cell, folder, ExportSettings(licence=license))
            for name, size in hub.files(folder):
                typer.echo(printable(f"{size:>14,} bytes  {name}"))
            for text in hub.lacking(folder):
                typer.echo(f"the model card has {text}")
            if dry_run:
                typer.echo(f"nothing was sent to {repo}: --dry-run")
                return
            place = hub.push(folder, repo, private=not public, message="Exported by cotdistill")
            typer.echo(f"sent to {place} ({'public' if public else 'private'})")
