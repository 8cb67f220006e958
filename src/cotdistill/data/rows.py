"""Where rows come from: local JSONL, JSON, CSV and Parquet files, or a hub data set. Every error names file and line."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cotdistill.errors import DataError, MissingExtra

__all__ = [
    "Row",
    "check_unicode",
    "data_folder",
    "hub_rows",
    "is_hub_id",
    "local_file",
    "pick",
    "rows",
    "text_of",
]

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz")


class Row(NamedTuple):
    """One row and the place it stands at, "file:line" for messages."""

    place: str
    fields: Mapping[str, Any]


def data_folder(setting: str | None) -> Path | None:
    """The folder of local data sets: the task's `data_dir`, else the environment variable COTDISTILL_DATA, else None."""
    name = setting or os.environ.get("COTDISTILL_DATA")
    if not name:
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        source = "data_dir" if setting else "COTDISTILL_DATA"
        raise DataError(f"{source}: no folder {folder}; name the folder that holds the data sets")
    inner = folder / "benchmarks"
    return inner if inner.is_dir() else folder


def local_file(folder: Path, stem: str) -> Path | None:
    """The file of that stem in any readable format, or the first shard of it ("train-00000-of-00001.parquet")."""
    for suffix in SUFFIXES:
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    shards = sorted(folder.glob(f"{stem}-*-of-*.parquet"))
    return shards[0] if shards else None


def is_hub_id(source: str) -> bool:
    """Whether a source that is no file here reads as "name" or "owner/name" of a hub, not as a path."""
    path = Path(source)
    return (
        len(path.parts) <= 2
        and not path.suffix
        and not path.is_absolute()
        and not source.startswith((".", "~"))
    )


def rows(path: Path) -> Iterator[Row]:
    """The rows of a file, by its suffix.

    Raises:
        DataError: the file is missing, of another kind, or a line of it is malformed.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; correct the path, or use a hub id like owner/name")
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    if suffix in (".jsonl", ".jsonl.gz", ".ndjson"):
        yield from _jsonl(path)
    elif suffix == ".json":
        yield from _json(path)
    elif suffix in (".csv", ".tsv"):
        yield from _csv(path, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".parquet":
        yield from _parquet(path)
    else:
        raise DataError(
            f"{path}: unknown kind of file {suffix!r}; use .jsonl, .json, .csv, .tsv or .parquet"
        )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{number}: not UTF-8 (byte {error.start}); save the file as UTF-8"
                ) from error


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}:{number}: malformed JSON at column {error.colno}: {error.msg}; correct the line, or remove it"
            ) from error
        yield _row(f"{path}:{number}", fields)


def _json(path: Path) -> Iterator[Row]:
    try:
        data = json.loads("".join(line for _, line in _lines(path)))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: malformed JSON: {error.msg}; one JSON list, or use .jsonl"
        ) from error
    if isinstance(data, Mapping) and isinstance(data.get("data"), list):
        data = data["data"]
    if not isinstance(data, list):
        raise DataError(
            f"{path}: holds no list of rows; write [{{...}}, {{...}}], or one object a line as .jsonl"
        )
    for index, fields in enumerate(data):
        yield _row(f"{path}: item {index}", fields)


def _row(place: str, fields: Any) -> Row:
    if not isinstance(fields, Mapping):
        raise DataError(
            f"{place}: a row must be an object with named fields, not {type(fields).__name__}"
        )
    for name, value in fields.items():
        if isinstance(value, str) and not value.isascii():
            check_unicode(place, str(name), value)
        elif isinstance(value, list | dict):
            check_unicode(place, str(name), json.dumps(value, ensure_ascii=False))
    return Row(place, fields)


def check_unicode(place: str, name: str, text: str) -> None:
    """Refuse a half of a surrogate pair: JSON can spell it, but no file, page or request can hold it.

    Raises:
        DataError: the text holds one.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = f"\\u{ord(text[error.start]):04x}"
        raise DataError(
            f"{place}: {name}: holds {code}, half of a character; write the whole character, or remove it"
        ) from error


def _csv(path: Path, delimiter: str) -> Iterator[Row]:
    reader = csv.DictReader((line for _, line in _lines(path)), delimiter=delimiter)
    try:
        for fields in reader:
            place = f"{path}:{reader.line_num}"
            if None in fields or None in fields.values():
                wrong = "more" if None in fields else "fewer"
                raise DataError(
                    f"{place}: {wrong} cells than the {len(reader.fieldnames or ())} columns; quote commas"
                )
            yield Row(place, fields)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: malformed CSV: {error}") from error


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
    index = 0
    for batch in file.iter_batches():
        for fields in batch.to_pylist():
            yield Row(f"{path}: row {index}", fields)
            index += 1


def hub_rows(
    hub: str, config: str | None, split: str, data_files: str | None = None
) -> Iterator[Row]:
    """The rows of one split of a hub data set.

    Raises:
        DataError: the hub cannot be reached, or has no such data set or split.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra(
            "data sets from a hub need the package datasets: pip install datasets"
        ) from error
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        loaded = datasets.load_dataset(hub, config, split=split, data_files=data_files)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"hub data set {hub} ({config or 'default'}, split {split}): {reason}; "
            "check the id and the network, or set data_dir (or COTDISTILL_DATA) to a folder with local files"
        ) from error
    for index, fields in enumerate(loaded):
        yield Row(f"{hub}/{split}: row {index}", fields)


def pick(row: Row, names: Sequence[str], meaning: str) -> Any:
    """The first of the fields `names` that the row has.

    Raises:
        DataError: it has none of them.
    """
    for name in names:
        if row.fields.get(name) is not None:
            return row.fields[name]
    wanted = repr(names[0]) if len(names) == 1 else f"of {', '.join(names)}"
    raise DataError(
        f"{row.place}: no field {wanted} for the {meaning}; it has {', '.join(map(str, row.fields))}"
    )


def text_of(row: Row, names: Sequence[str], meaning: str) -> str:
    """The same as text: numbers lose a trailing ".0", truth values become yes and no.

    Raises:
        DataError: the field is missing, empty, or no text.
    """
    value = pick(row, names, meaning)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise DataError(
            f"{row.place}: {meaning} is a {type(value).__name__}, not text; map another column to it"
        )
    text = str(value).strip()
    if not text:
        raise DataError(f"{row.place}: {meaning} is empty; fill it in, or remove the row")
    return text
