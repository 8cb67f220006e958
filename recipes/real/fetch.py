"""Fetches the data files of the real recipes into ../shared/data, where the network allows.

    .venv/bin/python recipes/real/fetch.py [--to ../shared/data]

DATA.md lists every file with its repository, commit, path, size and licence; that list is read.
A file that is there already is left alone; one of another size than listed is refused.
"""

from __future__ import annotations

import argparse
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cotdistill.util.files import write_text

HERE = Path(__file__).resolve().parent
# A row of a table: file, repository, commit or branch, path in the repository, bytes.
_ROW = re.compile(
    r"^\| `([^`|]+)` \| ([\w.-]+/[\w.-]+) \| `?([\w./-]+)`? \| `([^`|]+)` \| ([\d,]+) \|",
    re.MULTILINE,
)


class File(NamedTuple):
    """A data file: where it lies here, and where it comes from."""

    name: str
    repository: str
    commit: str
    path: str
    size: int

    @property
    def url(self) -> str:
        """The address of the file itself."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"


def files(text: str) -> Iterator[File]:
    """Yield the files that the tables of DATA.md list."""
    for name, repository, commit, path, size in _ROW.findall(text):
        yield File(name, repository, commit, path, int(size.replace(",", "")))


def fetch(file: File, folder: Path) -> str:
    """Fetch one file; return what was done in a word or two."""
    target = folder / file.name
    if target.exists():
        return "there already"
    try:
        with urllib.request.urlopen(file.url, timeout=60) as reply:
            found = reply.read()
    except (urllib.error.URLError, TimeoutError) as error:
        return f"not fetched: {error}"
    if len(found) != file.size:
        return f"not kept: {len(found)} bytes where DATA.md says {file.size}; it has changed there"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, found.decode("utf-8"))
    return "fetched"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    for file in files((HERE / "DATA.md").read_text("utf-8")):
        print(f"{file.name}: {fetch(file, arguments.to)}", flush=True)


if __name__ == "__main__":
    main()
