"""`cotdistill cache`: list, export, import and prune the completions that were paid for.

A log is named by its file or by the run folder it lies in. An exported log is a portable teacher:
name it in the recipe as `teacher: {name: recorded, files: [...]}`, or import it into another log.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cotdistill.model.completion_log import CompletionLog
    from cotdistill.records import Completion

_LogPath = Annotated[
    Path, typer.Argument(help="A completion log, or the run folder it lies in.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    cache = typer.Typer(help=(__doc__ or "").split(": ")[1].split("\n")[0], no_args_is_help=True)
    app.add_typer(cache, name="cache")
    cache.command("list")(list_log)
    cache.command("export")(export_log)
    cache.command("import")(import_log)
    cache.command("prune")(prune_log)


def list_log(log: _LogPath) -> None:
    """Show per model: requests, completions, tokens."""
    with _open(log, read_only=True) as opened:
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
    """Write every completion as a line of JSON."""
    import json

    from cotdistill.util.files import write_jsonl

    with _open(log, read_only=True) as opened:
        rows = (entry.to_json() for entry in opened.entries())
        if output is not None:
            count = write_jsonl(output, rows)
        else:
            count = 0
            for count, row in enumerate(rows, 1):  # noqa: B007
                typer.echo(json.dumps(row, ensure_ascii=False))
    typer.echo(f"{count:,} completions exported", err=True)


def import_log(
    log: _LogPath,
    source: Annotated[Path, typer.Argument(help="An exported log.", show_default=False)],
) -> None:
    """Add the completions of an exported log; what is there already stays as it is."""
    count = 0

    def counted() -> Iterator[tuple[str, str, str, tuple[Completion]]]:
        nonlocal count
        for count, row in enumerate(_rows(source), 1):  # noqa: B007
            yield row

    with _open(log) as opened:
        opened.add(counted())
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
    """Delete completions of one model, or old ones. To have them back is to pay again."""
    import time

    from cotdistill.errors import UserError

    if model is None and older_than_days is None:
        raise UserError("cache prune: say what to delete with --model or --older-than-days")
    if not _file(log).exists():
        raise UserError(f"cache: there is no completion log {_file(log)}")
    with _open(log) as opened:
        rows = opened.summary()
        if model is not None and not 1 <= model <= len(rows):
            raise UserError(
                f"cache prune: there is no model {model};"
                f" `cotdistill cache list {log}` shows {len(rows)}"
            )
        identity = rows[model - 1][0] if model is not None else None
        before = time.time() - older_than_days * 86400 if older_than_days is not None else None
        gone = opened.prune(identity_json=identity, before=before)
    typer.echo(f"{gone:,} completions deleted")


def _file(log: Path) -> Path:
    return log / "completions.sqlite" if log.is_dir() else log


def _open(log: Path, *, read_only: bool = False) -> CompletionLog:
    from cotdistill.model.completion_log import CompletionLog

    return CompletionLog(_file(log), read_only=read_only)


def _rows(source: Path) -> Iterator[tuple[str, str, str, tuple[Completion]]]:
    import json

    from cotdistill.errors import DataError

    if not source.is_file():
        raise DataError(f"cache import: there is no file {source}")
    with source.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _entry(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(
                    f"{source}:{number}: no line of an exported log; name a file that"
                    " `cotdistill cache export` wrote"
                ) from error


def _entry(row: Mapping[str, Any]) -> tuple[str, str, str, tuple[Completion]]:
    """Return a line of an exported log as the log keeps it.

    Raises:
        ValueError, KeyError, TypeError: the line is something else, or its key is not that of its
            identity and request.
    """
    from cotdistill.model.completion_log import canonical_json, request_key
    from cotdistill.records import Completion

    completion = Completion.from_json(row["completion"])
    texts = completion.text, completion.reasoning, completion.finish_reason, completion.key
    counts = completion.prompt_tokens, completion.completion_tokens, completion.sample_index
    numbers = *counts, completion.cached_prompt_tokens
    logprob = completion.logprob
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a completion's text must be text")
    if not all(type(number) is int and 0 <= number < 2**40 for number in numbers):
        raise TypeError("counts and the sample's index must be whole numbers")
    if logprob is not None and not isinstance(logprob, float):
        raise TypeError("the log-probability must be a number")
    identity, request = canonical_json(dict(row["identity"])), canonical_json(dict(row["request"]))
    if row["key"] != request_key(identity, request):
        raise ValueError("the key is not that of the identity and the request")
    return row["key"], identity, request, (completion,)


def _short(identity: str) -> str:
    import json

    from cotdistill.util.terminal import shortened

    fields = json.loads(identity)
    return ", ".join(
        f"{name}={shortened(str(value), 60)}"
        for name, value in fields.items()
        if value not in ("", [], {}, None, False)
    )
