"""`cotdistill view`: the report of runs in a browser, while they run and after."""

import functools
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def view(
        runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
        port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8000,
    ) -> None:
        """Show runs in a browser on this machine: live progress, every rationale and answer."""
        import socket

        from cotdistill.errors import MissingExtra, UserError
        from cotdistill.reporting.viewing import view_app
        from cotdistill.runs.run import open_run

        try:
            import uvicorn
        except ImportError as error:
            raise MissingExtra("view needs: pip install 'cotdistill[serve]'") from error
        opened = [(str(folder), functools.partial(open_run, folder)) for folder in runs]
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port}: {error.strerror}; choose another --port") from error
        app = view_app(opened)
        place = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        typer.echo(f"{', '.join(map(str, runs))} on {place} (Ctrl-C ends it)")
        settings = uvicorn.Config(app, log_level="warning", access_log=False)
        uvicorn.Server(settings).run(sockets=[listening])
