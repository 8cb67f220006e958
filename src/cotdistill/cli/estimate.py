"""`cotdistill estimate`: calls, tokens, money, time and disk of a run before it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotdistill.cli.run import Overrides, RecipePath

if TYPE_CHECKING:
    from rich.table import Table

    from cotdistill.runs.estimate import Estimate

_PROBE = "Ask so many questions of each task and method first: paid for, and kept for the run."
_AT = "Numbers of training questions to work out besides, such as 1e6,1e9."
_RATES = "of the training questions × questions"
_FORMULAS = {
    "completions": f"completions {_RATES}; test questions as they are",
    "calls": f"calls {_RATES}; up to `samples_per_call` completions share one",
    "prompt_tokens": f"prompt tokens {_RATES}",
    "reply_tokens": f"reply tokens {_RATES}",
    "money": "prompt tokens × input price + reply tokens × output price",
    "teacher_hours": "calls × seconds of one ÷ calls at a time; of an own model, by its speed",
    "student_hours": "steps × seconds of a step + tokens × seconds of one, and its answers",
    "bytes": "texts and rows of the log, the files made of them, a checkpoint of each model",
}
"""How each figure of `--at` is worked out."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def estimate(
        recipe: RecipePath,
        probe: Annotated[int, typer.Option(help=_PROBE, min=0)] = 0,
        at: Annotated[str, typer.Option(help=_AT, show_default=False)] = "",
        as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
        set: Overrides = None,
    ) -> None:
        """Say what a run will use: calls, tokens, money, time, disk. Only a probe is asked."""
        import json

        from cotdistill.recipe import load_recipe
        from cotdistill.runs.estimate import Estimator
        from cotdistill.runs.preflight import preflight
        from cotdistill.runs.run import Run
        from cotdistill.util.concurrency import run_async

        sizes, run = _sizes(at), Run(load_recipe(recipe, set or []))
        preflight(run, ("generate", "infer"))
        if probe:
            _probe(run, probe)
        found = run_async(Estimator(run).estimate())
        if as_json:
            known = {f"{size:g}": found.at(size) for size in sizes}
            typer.echo(json.dumps({**found.to_json(), "at": known}, indent=2))
        else:
            _print(found, sizes)


def _probe(run: Any, count: int) -> None:
    from cotdistill.runs.store import locked
    from cotdistill.stages.probe import probe

    with locked(run.folder):
        probe(run, count)
    asked = f"asked the first {count} questions of each task and method"
    typer.echo(f"{asked}; with earlier calls: {run.ledger.line()}", err=True)


def _sizes(text: str) -> list[float]:
    from cotdistill.errors import UserError

    try:
        sizes = [float(one) for one in text.split(",") if one.strip()]
    except ValueError as error:
        raise UserError(f"--at {text}: write numbers, such as --at 1e6,1e9") from error
    if any(not 1 <= one < 1e15 for one in sizes):
        raise UserError(f"--at {text}: a number of questions is between 1 and 1e15")
    return sizes


def _print(found: Estimate, sizes: list[float]) -> None:
    from rich.console import Console

    console = Console() if Console().is_terminal else Console(width=120)
    console.print(_table(found))
    for line in (*found.sources, found.line()):
        console.print(line, markup=False, highlight=False)
    if sizes:
        console.print(_scaled(found, sizes))


def _table(found: Estimate) -> Table:
    from rich.table import Table

    from cotdistill.util.terminal import printable

    numbers = ("completions", "in the log", "tokens in", "tokens out", "money", "time", "disk")
    table = Table(title="what is still to be used", title_justify="left", show_footer=True)
    total = _cells({name: found.total(name) for name in _SHOWN})
    table.add_column("stage", "all")
    table.add_column("task · method", overflow="fold")
    for name, sum_of_all in zip(numbers, total, strict=True):
        table.add_column(name, sum_of_all, justify="right")
    for row in found.rows:
        figures = _cells({**vars(row), **vars(row.need), "money": row.money})
        table.add_row(row.stage, printable(row.name), *figures)
    if any(row.seconds is None for row in found.rows):
        table.caption = "?: not known before a reply was seen or a student timed; not in the sum"
    return table


_SHOWN = ("completions", "cached", "prompt_tokens", "reply_tokens", "money", "seconds", "bytes")


def _cells(figures: dict[str, Any]) -> list[str]:
    counts = [f"{figures[name]:,.0f}" for name in _SHOWN[:4]]
    money, seconds = figures["money"], figures["seconds"]
    return [
        *counts,
        "?" if money is None else f"${money:,.4f}",
        "?" if seconds is None else duration(seconds),
        size(figures["bytes"]),
    ]


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def size(count: float) -> str:
    """Return bytes in the unit that suits them."""
    for unit, step in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= step:
            return f"{count / step:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"


def _scaled(found: Estimate, sizes: list[float]) -> Table:
    from rich.table import Table

    table = Table(title="all of it, at so many training questions", title_justify="left")
    table.add_column("")
    for wanted in sizes:
        table.add_column(f"{wanted:,.0f}", justify="right")
    table.add_column("worked out from", overflow="fold")
    sums = [found.at(wanted) for wanted in sizes]
    for name, formula in _FORMULAS.items():
        figures = [size(one[name]) if name == "bytes" else f"{one[name]:,.2f}" for one in sums]
        table.add_row(name.replace("_", " "), *figures, formula)
    return table
