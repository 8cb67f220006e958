"""`python -m cotdistill` and the `cotdistill` command."""

import sys

from cotdistill.errors import CotdistillError

_STOPPED = "stopped; what was finished is kept: the same command goes on from here"


def main() -> None:
    """Run the command line; a known error is one line and exit status 1, Ctrl-C is 130."""
    from cotdistill.cli.app import app

    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:  # typer's own word for Ctrl-C
            print(_STOPPED, file=sys.stderr)
        raise
    except CotdistillError as error:
        from cotdistill.util.terminal import printable

        print(printable(f"error: {error}"), file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
