"""`cotdistill import`: archives of Ho et al. and chat JSONL become recordings for the teacher `recorded`, or rationales."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("import")
    def import_completions(
        source: Annotated[
            Path,
            typer.Argument(
                help="B_…__C_…/D_<dataset>.json, a folder of them, or chat JSONL.",
                show_default=False,
            ),
        ],
        out: Annotated[Path, typer.Option(help="JSONL file to write.", show_default=False)],
        task: Annotated[
            str | None,
            typer.Option(
                help="The task the questions belong to: counts the right ones.", show_default=False
            ),
        ] = None,
        rationales: Annotated[
            bool, typer.Option(help="Write rationales instead of recordings; needs --task.")
        ] = False,
        data_dir: Annotated[
            str | None,
            typer.Option(
                help="Folder of the task's files: rationales get its question ids.",
                show_default=False,
            ),
        ] = None,
        force: Annotated[bool, typer.Option(help="Replace a file that is there already.")] = False,
    ) -> None:
        """Read other people's completions; the teacher `recorded` then answers from them."""
        from cotdistill import plugins
        from cotdistill.contracts import Task
        from cotdistill.errors import DataError
        from cotdistill.evaluation import interchange
        from cotdistill.evaluation.scoring import type_of_task
        from cotdistill.util.files import write_jsonl

        if out.exists() and not force:
            raise DataError(f"{out} exists; choose another --out, or --force to replace it")
        if rationales and task is None:
            raise DataError("--rationales: needs --task, to read the answers")
        answer_type = type_of_task(task)[1] if task is not None else None
        ids: dict[str, str] = {}
        if task is not None and data_dir is not None:
            whole = plugins.build("tasks", {"name": task, "data_dir": data_dir}, Task)  # type: ignore[type-abstract, unused-ignore]
            for split in ("train", "validation", "test"):
                ids |= interchange.question_ids(whole.questions(split))
        counts = {"completions": 0, "right": 0, "no_answer": 0}
        questions: set[str] = set()

        def lines() -> object:
            for one in interchange.read_completions(source):
                counts["completions"] += 1
                questions.add(one.question)
                if answer_type is not None:
                    rationale = interchange.as_rationale(one, answer_type, ids, task or "")
                    counts["right"] += answer_type.same(rationale.answer, one.gold)
                    counts["no_answer"] += rationale.answer is None
                    if rationales:
                        yield rationale.to_json()
                        continue
                yield interchange.as_recording(one)

        write_jsonl(out, lines())  # type: ignore[arg-type]
        if not counts["completions"]:
            raise DataError(f"{source}: holds no completions")
        told = f"{counts['completions']} completions of {len(questions)} questions"
        if answer_type is not None:
            told += f", {counts['right']} reach gold, {counts['no_answer']} have no answer"
        typer.echo(f"wrote {out}: {told}")
        if not rationales:
            typer.echo(f"use it as   teacher: {{name: recorded, files: [{out}]}}")
