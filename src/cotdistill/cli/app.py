"""The command line: every other file of this folder adds commands; heavy imports wait."""

import importlib
import pkgutil

import typer

from cotdistill import __version__, cli

app = typer.Typer(
    name="cotdistill",
    help="Chain-of-thought distillation: a large model's reasoning in a small model you own.",
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
