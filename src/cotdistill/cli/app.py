"""The command line: every other file of this folder adds commands; heavy imports wait."""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import typer

from cotdistill import __version__, cli
from cotdistill.util.addresses import refuse_address

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


def _local(command: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Return a command that takes no address for a path: a folder "s3:" would be made here."""
    if command is None:
        return None

    @functools.wraps(command)
    def checked(**given: Any) -> Any:
        for name, value in given.items():
            for one in value if isinstance(value, list | tuple) else (value,):
                refuse_address(one, name)
        return command(**given)

    return checked


for _module in sorted({module.name for module in pkgutil.iter_modules(cli.__path__)} - {"app"}):
    importlib.import_module(f"cotdistill.cli.{_module}").register(app)

for _group in (app, *(one.typer_instance for one in app.registered_groups)):
    for _command in _group.registered_commands if _group else ():
        _command.callback = _local(_command.callback)
