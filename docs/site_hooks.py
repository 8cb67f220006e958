"""What the site needs beside the pages: links out of docs/ become text, commands show their help."""

import re
from typing import Any

# A link to a file of the repository that is not in docs/: [text](../src/file.py).
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)]+)\)")
_HELP = "<!-- help of every command -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Rewrite one page before it is rendered."""
    markdown = _OUTSIDE.sub(r"\1 (`\2`)", markdown)
    return markdown.replace(_HELP, _every_help()) if _HELP in markdown else markdown


def _every_help() -> str:
    import typer

    from cotdistill.cli.app import app

    return "\n".join(_help(typer.main.get_command(app), ["cotdistill"], None))


def _help(command: Any, names: list[str], parent: Any) -> list[str]:
    context = command.make_context(names[-1], [], parent=parent, resilient_parsing=True)
    text = command.get_help(context).strip()
    lines = ["", f"## {' '.join(names)}", "", "```text", text, "```"]
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        lines += _help(inner, [*names, name], context)
    return lines
