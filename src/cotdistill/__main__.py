"""`python -m cotdistill` and the `cotdistill` command."""

import sys

from cotdistill.errors import CotdistillError

_STOPPED = "stopped; what was finished is kept: the same command goes on from here"


def main() -> None:
    """Run the command line; an error that is known, or of a file, is one line and exit
    status 1, Ctrl-C is 130."""
    from cotdistill.cli.app import app

    try:
        app()
    except SystemExit as stop:
        if stop.code in (130, 143):  # typer's own word for Ctrl-C, and SIGTERM of a run on Ray
            print(_STOPPED, file=sys.stderr)
        raise
    except CotdistillError as error:
        from cotdistill.util.terminal import printable

        print(printable(f"error: {error}"), file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:  # a full disk, a deleted folder, a link where a file should be
        from cotdistill.util.terminal import printable

        place = f"{error.filename}: " if error.filename else ""
        remedy = "check the path, the rights to it and the space on its disk"
        line = f"error: {place}{error.strerror or error}; {remedy}"
        print(printable(line), file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
