"""A run's questions shared out: every shard in a folder of its own, joined afterwards.

    runs/demo/shards~/3-of-64/
      recipe.yaml  environment.json  completions.sqlite  ledger.json
      word_problems/fine_tune_cot/generate/rationales.jsonl      the third 64th of the questions

The text of a question decides its shard: questions of the same text make the same requests, so two
shards do not pay for one request, however ids are given. What is joined is what one run would have
written, byte for byte, where the teacher's replies are the same.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import orjson

from cotdistill.errors import StoreError, UserError
from cotdistill.records import Question
from cotdistill.runs.store import Artifact
from cotdistill.util.files import whole_file
from cotdistill.util.naming import fingerprint

PLACE = "shards~"
"""Folder of a run's shards; no label has a `~` in its folder name."""


@dataclass(frozen=True)
class Shard:
    """Shard `index`, from 1, of `count`; with `job`, of the work of that job alone."""

    index: int
    count: int
    job: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "3/64".

        Raises:
            UserError: it is no such text, or there is no such shard.
        """
        # ASCII digits only, and few: int() takes other scripts and any length.
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        index, count = (int(one) for one in found.groups()) if found else (0, 0)
        if not 1 <= index <= count:
            raise UserError(f"--shard {text}: write it as 3/64, the third of 64 shards")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        """The name of its folder."""
        own = f"~{fingerprint(self.job)[:8]}" if self.job else ""
        return f"{self.index}-of-{self.count}{own}"

    def has(self, question: Question) -> bool:
        """Return whether the question is in this shard."""
        return _place(question, self.count) == self.index - 1


def _place(question: Question, count: int) -> int:
    text = " ".join(question.text.split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % count


def in_order(folders: Sequence[Path]) -> list[Path]:
    """Return folders of shards by their number, which is that of `3-of-64` in their names.

    Raises:
        UserError: one is missing, or they are of several divisions.
    """
    # As `Shard.name` writes the name of a shard of a whole run.
    found = [(re.fullmatch(r"([0-9]{1,6})-of-([0-9]{1,6})", path.name), path) for path in folders]
    for match, path in found:
        if match is None:
            raise UserError(f"{path}: no shard's folder; its name is like 3-of-64")
    numbered = {(int(match[1]), int(match[2])): path for match, path in found if match}
    counts = {count for _, count in numbered}
    if len(counts) > 1:
        raise UserError(
            f"shards of {' and of '.join(map(str, sorted(counts)))}; name the folders of one set"
        )
    missing = [n for n in range(1, max(counts) + 1) if (n, max(counts)) not in numbered]
    if missing:
        raise UserError(_missing(missing, max(counts)))
    return [numbered[place] for place in sorted(numbered)]


def _missing(numbers: Sequence[int], count: int) -> str:
    few = ", ".join(map(str, numbers[:10])) + (" …" if len(numbers) > 10 else "")
    return (
        f"of {count} shards {len(numbers)} are missing or not finished: {few}; run the stage with "
        f"`--shard {numbers[0]}/{count}` first"
    )


def found_shards(folder: Path) -> list[Path]:
    """Return the folders of a run's shards, in order.

    Raises:
        UserError: there are none, one is missing, or they are of several divisions.
    """
    found = [path for path in (folder / PLACE).glob("*-of-*") if "~" not in path.name]
    if not found:
        raise UserError(
            f"{folder / PLACE}: no shards; make them with `cotdistill generate RECIPE --shard 1/N`"
        )
    return in_order(found)


def refuse_unfinished(key: str, parts: Sequence[Artifact]) -> None:
    """Refuse to join shards of which some are not finished from the recipe's very inputs.

    Raises:
        UserError: the message names them.
    """
    waiting = [number for number, part in enumerate(parts, 1) if part.metadata is None]
    if waiting:
        raise UserError(f"{key}: {_missing(waiting, len(parts))}")


def join(
    whole: Artifact, parts: Sequence[Artifact], questions: Iterable[Question], file: str, key: str
) -> dict[str, Any]:
    """Make a run's artifact of those of all its shards; return its metadata.

    Args:
        questions: all questions of the artifact in order, one for each row of `file`.
        key: the field of a row that holds its question's id.

    Raises:
        StoreError: a row is missing, or is of another question.
    """
    found = [part.metadata or {} for part in parts]
    work = whole.start()
    # What an earlier merge left, marker first, and what the evaluation made of it.
    for old in (work / "done.json", *work.glob("*.jsonl")):
        old.unlink(missing_ok=True)
    files = [(part.folder / file).open("rb") for part in parts]
    try:
        with whole_file(work / file) as out:
            for question in questions:
                file_of_it = files[_place(question, len(parts))]
                out.buffer.write(_row_of(question, file_of_it, key))
    finally:
        for one in files:
            one.close()
    metadata = _added(found)
    whole.complete(metadata)
    return metadata


def _row_of(question: Question, file: IO[bytes], key: str) -> bytes:
    line = file.readline()
    if _field(line, key) != question.id:
        raise StoreError(
            f"{file.name}: the row of question {question.id!r} is not where it should be; "
            "delete this folder and make the shard again"
        )
    return line


def _field(line: bytes, key: str) -> Any:
    for read in (orjson.loads, json.loads):  # the second reads halves of surrogate pairs too
        try:
            return read(line).get(key)
        except (ValueError, AttributeError):
            continue
    return None


def _added(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the metadata of the whole: numbers added up, also those inside mappings."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, Mapping):
                whole[name] = _added([whole.get(name, {}), value])
            elif isinstance(value, int | float):
                whole[name] = whole.get(name, 0) + value
            else:
                whole.setdefault(name, value)
    return whole


def clear(folder: Path) -> None:
    """Remove a shard's folder, whose log is merged, unless results in it are not joined yet."""
    if not any(folder.rglob("done.json")):
        shutil.rmtree(folder, ignore_errors=True)
