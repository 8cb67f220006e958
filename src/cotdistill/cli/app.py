"""The command line. Every other file of this folder adds its own commands; heavy imports wait until a command runs."""

from __future__ import annotations

import importlib
import pkgutil

import typer

from cotdistill import __version__, cli

__all__ = ["app"]

app = typer.Typer(
    name="cotdistill",
    help="Move the reasoning of a large language model into a small model you own, and measure what was gained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


for _module in sorted({module.name for module in pkgutil.iter_modules(cli.__path__)} - {"app"}):
    importlib.import_module(f"cotdistill.cli.{_module}").register(app)
