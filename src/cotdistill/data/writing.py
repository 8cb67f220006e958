"""Write rows one after the other, as JSON Lines or Parquet: a file is there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotdistill.util.files import whole_file

if TYPE_CHECKING:
    import pyarrow

_GROUP = 10_000
"""Rows of a Parquet file that are written together, and are in memory until then."""

Write = Callable[[Mapping[str, Any]], Any]


@contextmanager
def row_file(path: Path, schema: pyarrow.Schema | None = None) -> Iterator[Write]:
    """Open a file, Parquet where a schema is given; call what is yielded with each row.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    with whole_file(path) as file:
        if schema is None:
            yield lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n")
            return

        import pyarrow.parquet

        waiting: list[Mapping[str, Any]] = []
        with pyarrow.parquet.ParquetWriter(file.buffer, schema) as table:

            def flush() -> None:
                table.write_table(pyarrow.Table.from_pylist(waiting, schema))
                waiting.clear()

            def write(row: Mapping[str, Any]) -> None:
                waiting.append(row)
                if len(waiting) == _GROUP:
                    flush()

            yield write
            flush()
