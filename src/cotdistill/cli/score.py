"""`cotdistill score`: accuracy of a file of completions, by our rules or a published evaluator's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def score(
        file: Annotated[
            Path,
            typer.Argument(
                help="JSONL (or CSV, Parquet): question, completion, gold.", show_default=False
            ),
        ],
        task: Annotated[
            str,
            typer.Option(
                help="The task, or a kind of answer (number, choice, …).", show_default=False
            ),
        ],
        compat: Annotated[
            str | None,
            typer.Option(help="A published evaluator: kojima2022 or ho2023.", show_default=False),
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
        show: Annotated[
            str | None,
            typer.Option(
                help="`differences`: items that our rules and the evaluator read differently.",
                show_default=False,
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                help="Write what was read from each item, one JSON line each.", show_default=False
            ),
        ] = None,
        column: Annotated[
            list[str] | None,
            typer.Option(help="Map a field to your column: completion=output.", show_default=False),
        ] = None,
        template: Annotated[
            str | None,
            typer.Option(
                help="Ho et al.'s prediction template: ft_cot_token, zs_cot, …", show_default=False
            ),
        ] = None,
        marker: Annotated[
            list[str] | None,
            typer.Option(
                help="What stands before an answer, instead of the usual.", show_default=False
            ),
        ] = None,
    ) -> None:
        """Score a file of completions and print n, correct, accuracy, no_answer."""
        from cotdistill.errors import DataError
        from cotdistill.evaluation.scoring import score_rows, summary
        from cotdistill.util.files import write_jsonl

        if compat not in (None, "kojima2022", "ho2023"):
            raise DataError(f"--compat {compat}: there are kojima2022 and ho2023")
        if show not in (None, "differences"):
            raise DataError(f"--show {show}: there is `differences`")
        columns = {}
        for entry in column or []:
            name, equals, theirs = entry.partition("=")
            if not equals or not theirs:
                raise DataError(f"--column {entry}: write field=column, such as completion=output")
            columns[name] = theirs
        rules = [compat or "ours"]
        if show == "differences":
            rules = ["ours", compat or "kojima2022"]
        items = list(score_rows(file, task, rules, columns, template, tuple(marker or ())))
        if out is not None:
            write_jsonl(out, (item.to_json() for item in items))
        _print(items, summary(items, compat or "ours"), rules, json)


def _print(items: list, result: dict, rules: list[str], as_json: bool) -> None:  # type: ignore[type-arg]
    import json

    differing = [item for item in items if item.differ(*rules)] if len(rules) == 2 else []
    if as_json:
        if len(rules) == 2:
            result = result | {"differences": [item.to_json() for item in differing]}
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    typer.echo(
        f"accuracy {100 * result['accuracy']:.2f} % [{100 * result['low']:.2f}, {100 * result['high']:.2f}]  "
        f"({result['correct']} of {result['n']} correct, {result['no_answer']} without an answer; rules: {result['rules']})"
    )
    if len(rules) == 2:
        first, second = rules
        typer.echo(
            f"{len(differing)} of {len(items)} items are read differently ({first} | {second} | gold | reply):"
        )
        for item in differing:
            reply = " ".join(item.reply.split())
            shown = reply if len(reply) <= 80 else "…" + reply[-79:]
            typer.echo(
                f"  {item.index}: {item.scores[first].prediction} | {item.scores[second].prediction!r} | {item.gold} | {shown}"
            )
