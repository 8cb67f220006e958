"""`cotdistill export`: the scored answers of a run as logs of Inspect, for `inspect view` and everything that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("export")
    def export_scores(
        recipe: Annotated[
            Path, typer.Argument(help="The recipe of an evaluated run.", show_default=False)
        ],
        out: Annotated[
            Path | None,
            typer.Option(help="Folder to write to; default: inspect/ in the run folder."),
        ] = None,
        set: Annotated[
            list[str] | None,
            typer.Option("--set", help="Override a setting, as in `run`.", show_default=False),
        ] = None,
    ) -> None:
        """Write one Inspect log for each model, task and seed of a run; open them with `inspect view --log-dir`."""
        import re
        from datetime import UTC, datetime

        from cotdistill.errors import StoreError
        from cotdistill.evaluation.grid import Scored
        from cotdistill.evaluation.interchange import inspect_log
        from cotdistill.recipe import load_recipe
        from cotdistill.records import Answer
        from cotdistill.runs.run import Run
        from cotdistill.util.files import read_records, write_json
        from cotdistill.util.progress import SilentProgress

        run = Run(load_recipe(recipe, set or []), SilentProgress())
        folder = out or run.folder / "inspect"
        written = 0
        for cell, split, strategy in run.answered():
            artifact = run.infer_artifact(cell, split, strategy).folder
            path = artifact / "scored.jsonl"
            if not path.exists():
                raise StoreError(f"{path} is missing: run the stages up to `evaluate` first")
            moment = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
            answers = read_records(artifact / "answers.jsonl", Answer)
            settings = {
                "method": cell.method.label,
                "strategy": strategy.label,
                "seed": cell.seed,
                "split": split,
            }
            log = inspect_log(
                zip(
                    run.questions(cell.task, split),
                    answers,
                    read_records(path, Scored),
                    strict=True,
                ),
                task=cell.task.label,
                model=f"{cell.method.label}/{cell.student.label}",
                created=moment,
                settings=settings | {"student": cell.student.label},
            )
            stamp = moment.replace(":", "-")
            task = re.sub(r"\W+|_", "-", cell.task.label)
            write_json(folder / f"{stamp}_{task}_{log['eval']['eval_id']}.json", log)
            written += 1
        typer.echo(
            f"wrote {written} logs to {folder}; open them with   inspect view --log-dir {folder}"
        )
