"""`cotdistill score`: accuracy of a file of completions, by our rules or a published one's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from cotdistill.evaluation.scoring import ScoredCompletion

_FILE = "JSONL, CSV, Parquet, or its address: question, completion, gold."
_TASK = "The task, or an answer type (number, choice, …)."
_COMPAT = "A published evaluator: kojima2022 or ho2023."
_SHOW = "`differences`: items that our rules and the evaluator read differently."
_OUT = "Write what was read from each item, one JSON line each."
_COLUMN = "Map a field to your column: completion=output."
_TEMPLATE = "Ho et al.'s prediction template: ft_cot_token, zs_cot, …"
_MARKER = "What stands before an answer, instead of the usual."
_INDEX = "What a number as the answer to a choice counts from: 0, 1, or text."


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def score(
        file: Annotated[str, typer.Argument(help=_FILE)],
        task: Annotated[str, typer.Option(help=_TASK)],
        compat: Annotated[str | None, typer.Option(help=_COMPAT)] = None,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
        show: Annotated[str | None, typer.Option(help=_SHOW)] = None,
        out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
        column: Annotated[list[str] | None, typer.Option(help=_COLUMN)] = None,
        template: Annotated[str | None, typer.Option(help=_TEMPLATE)] = None,
        marker: Annotated[list[str] | None, typer.Option(help=_MARKER)] = None,
        answer_index: Annotated[str | None, typer.Option(help=_INDEX)] = None,
    ) -> None:
        """Score a file of completions and print n, correct, accuracy, no_answer."""
        from cotdistill.errors import DataError
        from cotdistill.evaluation.scoring import score_rows, summary
        from cotdistill.util.files import write_jsonl

        if compat not in (None, "kojima2022", "ho2023"):
            raise DataError(f"--compat {compat}: there are kojima2022 and ho2023")
        if show not in (None, "differences"):
            raise DataError(f"--show {show}: there is `differences`")
        if answer_index not in (None, "0", "1", "text"):
            raise DataError(f"--answer-index {answer_index}: there are 0, 1 and text")
        columns = dict(entry.partition("=")[::2] for entry in column or [])
        if wrong := [name for name, theirs in columns.items() if not theirs]:
            raise DataError(f"--column {wrong[0]}: write field=column, such as completion=output")
        rules = [compat or "ours"]
        if show == "differences":
            rules = ["ours", compat or "kojima2022"]
        indices: dict[str | None, Literal[0, 1, "text"] | None]
        indices = {None: None, "0": 0, "1": 1, "text": "text"}
        marks, index = tuple(marker or ()), indices[answer_index]
        items = list(score_rows(file, task, rules, columns, template, marks, index))
        if out is not None:
            write_jsonl(out, (item.to_json() for item in items))
        _print(items, summary(items, compat or "ours"), rules, json)


def _print(
    items: list[ScoredCompletion], result: dict[str, Any], rules: list[str], as_json: bool
) -> None:
    import json

    from cotdistill.util.terminal import printable

    differing = [item for item in items if item.differ(*rules)] if len(rules) == 2 else []
    if as_json:
        more = {"differences": [one.to_json() for one in differing]} if len(rules) == 2 else {}
        typer.echo(json.dumps(result | more, ensure_ascii=False))
        return
    low, high = (f"{100 * result[name]:.2f}" for name in ("low", "high"))
    typer.echo(
        f"accuracy {100 * result['accuracy']:.2f} % [{low}, {high}]  ({result['correct']} of "
        f"{result['n']} correct, {result['no_answer']} without an answer; rules: {result['rules']})"
    )
    if len(rules) < 2:
        return
    typer.echo(
        f"{len(differing)} of {len(items)} items are read differently "
        f"({rules[0]} | {rules[1]} | gold | reply):"
    )
    for item in differing:
        reply = " ".join(item.reply.split())
        shown = reply if len(reply) <= 80 else "…" + reply[-79:]
        ours, theirs = (item.scores[name].prediction for name in rules)
        typer.echo(printable(f"  {item.index}: {ours} | {theirs!r} | {item.gold} | {shown}"))
