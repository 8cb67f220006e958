"""`cotdistill import`: other people's completions become recordings for the teacher `recorded`, or
rationales."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cotdistill.util.progress import Advance

_ANNOUNCED = 256
"""Completions after which progress is told."""
_SOURCE = "B_…__C_…/D_<dataset>.json, a folder of them, or chats and completions in any form."
_TASK = "The task the questions belong to: counts the right ones."
_QUESTIONS = "File that gives the questions of rows with an `id` alone."
_DATA = "Folder of the task's files: rationales get its question ids."
_RATIONALES = "Write rationales instead of recordings; needs --task."


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("import")
    def import_completions(
        source: Annotated[str, typer.Argument(help=_SOURCE)],
        out: Annotated[Path, typer.Option(help="JSONL file to write.")],
        task: Annotated[str | None, typer.Option(help=_TASK)] = None,
        questions: Annotated[str | None, typer.Option(help=_QUESTIONS)] = None,
        rationales: Annotated[bool, typer.Option(help=_RATIONALES)] = False,
        data_dir: Annotated[str | None, typer.Option(help=_DATA)] = None,
        force: Annotated[bool, typer.Option(help="Replace a file that is there already.")] = False,
    ) -> None:
        """Read other people's completions; the teacher `recorded` then answers from them."""
        from rich.console import Console

        from cotdistill import plugins
        from cotdistill.contracts import Task
        from cotdistill.errors import DataError
        from cotdistill.evaluation import interchange
        from cotdistill.evaluation.scoring import type_of_task
        from cotdistill.util.files import write_jsonl
        from cotdistill.util.progress import ConsoleProgress

        if out.exists() and not force:
            raise DataError(f"{out} exists; choose another --out, or --force to replace it")
        if rationales and task is None:
            raise DataError("--rationales: needs --task, to read the answers")
        answer_type = type_of_task(task)[1] if task is not None else None
        ids: dict[str, str] = {}
        if task is not None and data_dir is not None:
            whole = plugins.build("tasks", {"name": task, "data_dir": data_dir}, Task)
            for split in ("train", "validation", "test"):
                ids |= interchange.question_ids(whole.questions(split))
        counts: Counter[str] = Counter()
        asked: set[str] = set()

        def lines(advance: Advance) -> Iterator[dict[str, Any]]:
            for one in interchange.read_completions(source, questions):
                counts["completions"] += 1
                if counts["completions"] % _ANNOUNCED == 0:
                    advance(_ANNOUNCED)
                asked.add(one.question)
                row = interchange.as_recording(one)
                if answer_type is not None:
                    rationale = interchange.as_rationale(one, answer_type, ids, task or "")
                    gold = interchange.readable_gold(one, answer_type)
                    counts["gold"] += gold is not None
                    counts["right"] += answer_type.same(rationale.answer, gold)
                    counts["no answer"] += rationale.answer is None
                    row = rationale.to_json() if rationales else row
                yield row

        # On standard error: what is written may be read by another program.
        with ConsoleProgress(Console(stderr=True)).task(f"read {source}", None) as advance:
            write_jsonl(out, lines(advance))
            advance(counts["completions"] % _ANNOUNCED)
        if not counts["completions"]:
            raise DataError(f"{source}: holds no completions")
        said = f"{counts['completions']} completions of {len(asked)} questions"
        if answer_type is not None:
            compared = f"{counts['right']} of {counts['gold']} reach gold"
            if not counts["gold"]:
                compared = "none has a gold answer that this task reads"
            said += f", {compared}, {counts['no answer']} have no answer"
        typer.echo(f"wrote {out}: {said}")
        if not rationales:
            typer.echo(f"use it as   teacher: {{name: recorded, files: [{out}]}}")
