"""`cotdistill compare`: two runs beside each other."""

from pathlib import Path
from typing import Annotated

import typer

_Run = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def compare(
        first: _Run,
        second: _Run,
        html: Annotated[
            Path | None, typer.Option(help="Write the comparison as a page.", show_default=False)
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    ) -> None:
        """Set two runs beside each other, paired where their questions are the same."""
        from rich.console import Console

        from cotdistill.reporting.comparing import chapter, compare_runs, to_json
        from cotdistill.reporting.rendering import page, terminal_table
        from cotdistill.runs.run import open_run
        from cotdistill.util.files import write_text
        from cotdistill.util.terminal import printable

        runs = open_run(first), open_run(second)
        found, pairs = compare_runs(*runs)
        compared = chapter(*runs, found, pairs)
        if html is not None:
            write_text(html, page(compared.title, [compared]))
        if json:
            from json import dumps

            typer.echo(dumps(to_json(*runs, found, pairs), ensure_ascii=False))
            return
        for section in compared.sections:
            if section.prominent:
                Console().print(terminal_table(section))
        for sentence in compared.sentences:
            typer.echo(printable(sentence))
        if html is not None:
            typer.echo(f"wrote {html}")
