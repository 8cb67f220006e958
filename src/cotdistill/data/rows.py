"""Read rows: JSON, JSON Lines, CSV, TSV and Parquet files, or a data set of a hub. Every error
names file and line.

    questions.jsonl.zst    shards/train-*.parquet    s3://bucket/train-*.parquet    memory://q.csv

A file is a path or an address; a `*` in the name stands for all files that fit, in the order of
their names. They are read as a stream, a JSON list as a whole.

The content decides between JSON Lines, one JSON list and one object that holds its rows (`data`,
`samples`), whatever the name; a byte order mark is read, and what is packed with gzip, Zstandard or
bzip2 (".gz", ".zst", ".bz2"). NaN, as `json.dumps` writes an empty cell, is an empty cell.
"""

import csv
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cotdistill.errors import DataError
from cotdistill.util.addresses import fitting, is_address, open_address, path_of, stamps
from cotdistill.util.files import file_stamp

if TYPE_CHECKING:
    import pyarrow

_TEXTS = (".jsonl", ".json", ".ndjson", ".csv", ".tsv")
_PACKED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
SUFFIXES = (*_TEXTS, ".parquet", *(one + packed for one in _TEXTS for packed in _PACKED))
_HOLDERS = ("data", "samples")
"""Fields of a whole file that hold its rows: many exports, and logs of Inspect."""

_BATCH = 1024
"""Rows of a Parquet file that are in memory at a time."""
_BUFFER = 2**20
"""Bytes of each of its columns that are read at a time: a group of rows can be all of the file."""

csv.field_size_limit(sys.maxsize)  # Python refuses cells of more than 131,072 characters by default


class Row(NamedTuple):
    """One row and the place it stands at, "file:line" for messages."""

    place: str
    fields: Mapping[str, Any]


def data_folder(setting: str | None) -> Path | None:
    """Return the folder of local data sets: `data_dir`, else COTDISTILL_DATA, else None."""
    name = setting or os.environ.get("COTDISTILL_DATA")
    if not name:
        return None
    source = "data_dir" if setting else "COTDISTILL_DATA"
    if is_address(name):
        raise DataError(f"{source}: {name} is an address; name a folder on this machine")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise DataError(f"{source}: no folder {folder}; name the folder that holds the data sets")
    inner = folder / "benchmarks"
    return inner if inner.is_dir() else folder


def local_file(folder: Path, stem: str) -> Path | None:
    """Return the file of that stem in any format, or the pattern of its shards
    ("train-*-of-*.parquet")."""
    for suffix in SUFFIXES:
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    shards = f"{stem}-*-of-*.parquet"
    return folder / shards if any(folder.glob(shards)) else None


def is_hub_id(source: str) -> bool:
    """Return whether a source that is no file reads as "name" or "owner/name" of a hub."""
    path = Path(source)
    plain = not is_address(source) and "*" not in source and not path.suffix
    return plain and len(path.parts) <= 2 and not source.startswith((".", "~", "/"))


def files_of(source: str | Path) -> list[str | Path]:
    """Return the files that a source names, in order; addresses stay text.

    Raises:
        DataError: no file fits a pattern, or an address has a key or cannot be reached.
    """
    found: list[str | Path]
    if isinstance(source, str) and is_address(source):
        found = [*fitting(source)]
    else:
        path = Path(source).expanduser()
        several, root = "*" in str(path) and not path.exists(), Path(path.anchor)
        found = [*sorted(root.glob(str(path.relative_to(root))))] if several else [path]
    if not found:
        raise DataError(f"{source}: no file fits; correct the pattern")
    return found


def stamps_of(source: str | Path) -> list[list[Any] | None]:
    """Return what shows a change of each file that a source names, without reading it: name, size
    and times, or the checksum that a store tells. None for a file of which nothing shows it.

    Raises:
        DataError: no file fits a pattern, or an address cannot be reached.
    """
    if isinstance(source, str) and is_address(source):
        return stamps(source)
    files = (Path(file) for file in files_of(source))
    return [file_stamp(file) if file.is_file() else None for file in files]


@contextmanager
def opened(file: str | Path) -> Iterator[BufferedIOBase]:
    """Open a file of `files_of`.

    Raises:
        DataError: it cannot be reached, or not be read to its end.
    """
    if not isinstance(file, Path):
        with open_address(file) as there:
            yield there
        return
    try:
        with file.open("rb") as here:
            yield here
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def rows(source: str | Path) -> Iterator[Row]:
    """Read the rows of a file, or of all files of a pattern.

    Raises:
        DataError: a file is missing, of another kind, or a line of it is malformed.
    """
    for file in files_of(source):
        yield from _rows(file)


def _rows(file: str | Path) -> Iterator[Row]:
    if isinstance(file, Path) and file.is_dir():
        raise DataError(f"{file}: is a folder; name its files, such as {file}/*.jsonl")
    if isinstance(file, Path) and not file.is_file():
        raise DataError(f"{file}: no such file; correct the path, or use a hub id like owner/name")
    path = file if isinstance(file, Path) else path_of(file)
    codec = _PACKED.get(path.suffix)
    suffix = path.with_suffix("").suffix if codec else path.suffix
    if suffix in (".jsonl", ".ndjson", ".json"):
        yield from _json(file, suffix, codec)
    elif suffix in (".csv", ".tsv"):
        yield from _csv(file, "\t" if suffix == ".tsv" else ",", codec)
    elif path.suffix == ".parquet":
        yield from _parquet(file)
    else:
        known = "use .jsonl, .json, .csv or .tsv (.gz, .zst or .bz2 of them), or .parquet"
        raise DataError(f"{file}: unknown kind of file {''.join(path.suffixes[-2:])!r}; {known}")


def _lines(path: str | Path, codec: str | None) -> Iterator[tuple[int, str]]:
    number = 0
    with opened(path) as raw:
        try:
            for number, line in enumerate(_unpacked(raw, codec) if codec else raw, 1):
                if b"\0" in line:
                    raise DataError(f"{path}:{number}: holds a NUL byte; save the file as UTF-8")
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            wrong = f"{path}:{number}: not UTF-8 (byte {error.start}); save the file as UTF-8"
            raise DataError(wrong) from error
        except OSError as error:
            if codec is None or not _of_content(error):
                raise  # of the file itself, and not of what is packed in it
            ending = path_of(path).suffix if isinstance(path, str) else path.suffix
            raise DataError(
                f"{path}: cannot be unpacked as {codec} after line {number} ({error}); "
                f"fetch it again, or rename it without {ending}"
            ) from error


def _unpacked(raw: BufferedIOBase, codec: str) -> BufferedReader:
    import pyarrow

    return BufferedReader(pyarrow.CompressedInputStream(raw, codec))


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is no number that can be used")


def _once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    if len(found) != len(fields):
        names = [name for name, _ in fields]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands twice")
    return found


_DECODER = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=_once)


def _parse(text: str, place: str, line: int, remedy: str) -> Any:
    try:
        return _DECODER.decode(text.removesuffix("\n"))
    except json.JSONDecodeError as error:
        at = f"{place}:{line + error.lineno - 1}"
        wrong = f"{at}: malformed JSON at column {error.colno}: {error.msg}; {remedy}"
        raise DataError(wrong) from error
    except (ValueError, RecursionError) as error:
        # Of a number with thousands of digits Python says which of its own settings allows it.
        told = str(error).partition(";")[0]
        reason = "nested too deeply" if isinstance(error, RecursionError) else told
        raise DataError(f"{place}:{line}: malformed JSON: {reason}; {remedy}") from error


def _json(path: str | Path, suffix: str, codec: str | None) -> Iterator[Row]:
    lines: Iterator[tuple[int, str]] = (one for one in _lines(path, codec) if one[1].strip())
    first = next(lines, None)
    if first is None:
        return
    number, start = first
    second = next(lines, None)
    lines = chain([first] if second is None else [first, second], lines)
    whole = start.lstrip().startswith("[") or start.strip() == "{"
    if not whole and suffix == ".json":
        try:
            _DECODER.decode(start)
            whole = second is None
        except (ValueError, RecursionError):
            whole = True
    if whole:
        text = "".join(line for _, line in lines)
        remedy = "correct it, or write one JSON object a line as .jsonl"
        yield from _held(path, _parse(text, str(path), number, remedy))
        return
    remedy = "correct the line, or remove it"
    for number, line in lines:
        yield _row(f"{path}:{number}", _parse(line, str(path), number, remedy))


def _held(path: str | Path, data: Any) -> Iterator[Row]:
    """Yield the rows of a whole file: a list, a list in a field, or archives of lists by sample
    index."""
    held = next((data[name] for name in _HOLDERS if name in data), data) if _is_map(data) else data
    if isinstance(held, list):
        for index, fields in enumerate(held):
            yield _row(f"{path}: item {index}", fields)
    elif held is not data and _is_map(held):
        # Archives of Ho et al. 2023: completions by sample index, the model in the metadata.
        metadata = data.get("metadata")
        model = metadata.get("base_model", "") if _is_map(metadata) else ""
        for key, part in held.items():
            for position, fields in enumerate(part if isinstance(part, list) else [part]):
                row = _row(f"{path}: data[{key!r}][{position}]", fields)
                yield Row(row.place, {"index": key, "model": model, **row.fields})
    else:
        yield _row(f"{path}: item 0", data)


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _row(place: str, fields: Any) -> Row:
    if not isinstance(fields, Mapping):
        wrong = f"a row must be an object with named fields, not {type(fields).__name__}"
        raise DataError(f"{place}: {wrong}")
    for name, value in fields.items():
        if isinstance(value, str) and not value.isascii():
            check_unicode(place, str(name), value)
        elif isinstance(value, list | dict):
            check_unicode(place, str(name), json.dumps(value, ensure_ascii=False))
    return Row(place, fields)


def check_unicode(place: str, name: str, text: str) -> None:
    """Refuse a half of a surrogate pair: JSON can spell it, but no file, page or request can hold
    it.

    Raises:
        DataError: the text holds one.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        wrong = f"holds \\u{ord(text[error.start]):04x}, half of a character"
        remedy = "write the whole character, or remove it"
        raise DataError(f"{place}: {name}: {wrong}; {remedy}") from error


def _csv(path: str | Path, delimiter: str, codec: str | None) -> Iterator[Row]:
    lines = (line for _, line in _lines(path, codec))
    # Strict: of a quote that is not doubled, or not closed, Python would make another text.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 1
    try:
        names = next(filter(None, reader), [])
        _refuse_twice(f"{path}:{reader.line_num}", names)
        number = reader.line_num + 1
        for cells in reader:
            if cells:
                yield Row(place := f"{path}:{number}", _cells(place, names, cells))
            number = reader.line_num + 1  # a row may have several lines: its first one is named
    except csv.Error as error:
        reason = f"{error}; quote cells with commas or quotes in them, and double such quotes"
        raise DataError(f"{path}:{number}: malformed CSV: {reason}") from error


def _cells(place: str, names: Sequence[str], cells: Sequence[str]) -> dict[str, str | None]:
    if len(cells) != len(names):
        wrong = "more" if len(cells) > len(names) else "fewer"
        raise DataError(f"{place}: {wrong} cells than the {len(names)} columns; quote commas")
    # A table has no type for an empty cell: "nan" is how pandas writes one when told to.
    empty = ("nan", "NaN", "NaT")
    return {name: None if cell in empty else cell for name, cell in zip(names, cells, strict=True)}


def _refuse_twice(place: str, names: Sequence[str]) -> None:
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(f"{place}: two columns are called {name!r}; rename or remove one")


def _parquet(path: str | Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    index = 0
    with opened(path) as file:
        try:
            table = pyarrow.parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
            _refuse_twice(str(path), table.schema_arrow.names)
            for batch in table.iter_batches(_BATCH):
                for fields in _doubles(batch).to_pylist():
                    yield Row(f"{path}: row {index}", fields)
                    index += 1
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and not _of_content(error):
                raise
            reason = " ".join(str(error).split())[:200]
            wrong = f"{path}: cannot be read as Parquet: {reason}; fetch it again"
            raise DataError(wrong) from error


def _doubles(batch: "pyarrow.RecordBatch") -> "pyarrow.RecordBatch":
    """Return a table whose single-precision numbers are those that they were written as: Python
    would read 0.1 as 0.10000000149011612."""
    import pyarrow

    for index, field in enumerate(batch.schema):
        if pyarrow.types.is_float32(field.type):
            written = batch.column(index).cast(pyarrow.string())
            batch = batch.set_column(index, field.name, written.cast(pyarrow.float64()))
    return batch


def _of_content(error: OSError) -> bool:
    """Return whether Arrow means what it reads, not the file: that has a number or its own type."""
    return type(error) is OSError and error.errno is None


def hub_rows(
    hub: str, config: str | None, split: str, data_files: str | None = None
) -> Iterator[Row]:
    """Read the rows of one split of a hub data set.

    Raises:
        DataError: the hub cannot be reached, or has no such data set or split.
    """
    import datasets

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        loaded = datasets.load_dataset(hub, config, split=split, data_files=data_files)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"hub data set {hub} ({config or 'default'}, split {split}): {reason}; check the id "
            "and the network, or set data_dir (or COTDISTILL_DATA) to a folder with local files"
        ) from error
    for index, fields in enumerate(loaded):
        yield Row(f"{hub}/{split}: row {index}", fields)
