"""`cotdistill cache`: what a completion log holds; export, import and prune it.

A log is named by its file or by the run folder it lies in. An exported log is a portable teacher: name it in the
recipe as `teacher: {name: recorded, files: [...]}`, or import it into another log.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cotdistill.model.completion_log import CompletionLog
    from cotdistill.records import Completion

__all__ = ["register"]

_LogPath = Annotated[
    Path, typer.Argument(help="A completion log, or the run folder it lies in.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    cache = typer.Typer(
        help="List, export, import and prune the completions that were paid for.",
        no_args_is_help=True,
    )
    app.add_typer(cache, name="cache")
    cache.command("list")(list_log)
    cache.command("export")(export_log)
    cache.command("import")(import_log)
    cache.command("prune")(prune_log)


def list_log(log: _LogPath) -> None:
    """Show per model: requests, completions, tokens."""
    with _open(log) as opened:
        rows = opened.summary()
    for number, (identity, requests, completions, prompt_tokens, completion_tokens) in enumerate(
        rows, 1
    ):
        typer.echo(f"{number}. {_short(identity)}")
        typer.echo(
            f"   {requests:,} requests, {completions:,} completions,"
            f" {prompt_tokens:,} prompt and {completion_tokens:,} completion tokens"
        )
    if not rows:
        typer.echo("the log is empty")


def export_log(
    log: _LogPath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output without.")
    ] = None,
) -> None:
    """Write every completion as a line of JSON, also from a damaged log as far as it is whole."""
    import json
    import sys

    with _open(log) as opened:
        count = 0
        target = (
            output.open("w", encoding="utf-8", newline="\n") if output is not None else sys.stdout
        )
        try:
            for entry in opened.entries():
                target.write(json.dumps(entry.to_json(), ensure_ascii=False) + "\n")
                count += 1
        finally:
            if output is not None:
                target.close()
        typer.echo(f"{count:,} completions exported", err=True)
        if opened.damaged:
            typer.echo(f"{opened.damaged:,} requests lie on damaged pages and are lost", err=True)


def import_log(
    log: _LogPath,
    source: Annotated[Path, typer.Argument(help="An exported log.", show_default=False)],
) -> None:
    """Add the completions of an exported log; what is there already stays as it is."""
    from cotdistill.model.completion_log import CompletionLog

    with CompletionLog(_file(log)) as opened:
        count = 0
        batch = []
        for row in _rows(source):
            batch.append(row)
            count += 1
            if len(batch) == 1000:
                opened.add(batch)
                batch = []
        opened.add(batch)
    typer.echo(f"{count:,} completions read from {source}")


def prune_log(
    log: _LogPath,
    model: Annotated[
        int | None,
        typer.Option(help="Delete the completions of this model (its number in `list`)."),
    ] = None,
    older_than_days: Annotated[
        float | None, typer.Option(help="Delete what arrived longer ago than this.")
    ] = None,
) -> None:
    """Delete completions of one model, or old ones. They cannot be had back without paying again."""
    import time

    from cotdistill.errors import UserError
    from cotdistill.model.completion_log import CompletionLog

    if model is None and older_than_days is None:
        raise UserError("cache prune: say what to delete with --model or --older-than-days")
    file = _file(log)
    if not file.exists():
        raise UserError(f"cache: there is no completion log {file}")
    with CompletionLog(file) as opened:
        rows = opened.summary()
        if model is not None and not 1 <= model <= len(rows):
            raise UserError(
                f"cache prune: there is no model {model}; `cotdistill cache list {log}` shows {len(rows)}"
            )
        identity = rows[model - 1][0] if model is not None else None
        before = time.time() - older_than_days * 86400 if older_than_days is not None else None
        gone = opened.prune(identity_json=identity, before=before)
    typer.echo(f"{gone:,} completions deleted")


def _file(log: Path) -> Path:
    return log / "completions.sqlite" if log.is_dir() else log


def _open(log: Path) -> CompletionLog:
    from cotdistill.model.completion_log import CompletionLog

    return CompletionLog(_file(log), read_only=True)


def _rows(source: Path) -> Iterator[tuple[str, str, str, tuple[Completion]]]:
    import json

    from cotdistill.errors import DataError

    if not source.is_file():
        raise DataError(f"cache import: there is no file {source}")
    with source.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = _entry(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{source}:{number}: no line of an exported log; name a file that `cotdistill cache export` wrote"
                ) from error
            yield entry


def _entry(row: Mapping[str, Any]) -> tuple[str, str, str, tuple[Completion]]:
    """A line of an exported log as the log keeps it; whatever the line is, only these errors come of it.

    Raises:
        ValueError, KeyError, TypeError: the line is something else.
    """
    from cotdistill.model.completion_log import canonical_json
    from cotdistill.records import Completion

    completion = Completion.from_json(row["completion"])
    if not isinstance(completion.text, str) or not isinstance(completion.reasoning, str):
        raise ValueError("a completion's text must be text")
    identity, request = dict(row["identity"]), dict(row["request"])
    key = bytes.fromhex(row["key"]).hex()
    return key, canonical_json(identity), canonical_json(request), (completion,)


def _short(identity: str) -> str:
    import json

    fields = json.loads(identity)
    return ", ".join(
        f"{name}={str(value)[:60]}"
        for name, value in fields.items()
        if value not in ("", [], {}, None, False)
    )
