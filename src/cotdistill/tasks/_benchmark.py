"""Base of the published data sets: local files or a hub, the published split, a validation
share, stable ids.

A task's own file states its answer type, its hub id and, where the usual names of fields do not do,
how one row becomes a question. Local files are looked for in `data_dir` (or COTDISTILL_DATA) as
`<name>.json`, a list of `{question, answer, rationale?}` with index files
`splits/<name>__default.json` and `__template.json` (the layout of Ho et al. 2023), or as
`<name>/train.jsonl`, `<name>/test.parquet` and so on with the hub's own columns. Ids are
`<name>/<index in the original order>`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from cotdistill.contracts import AnswerType, Split, Task
from cotdistill.data.fields import ALIASES, gold_of, optional, question_of, text_of
from cotdistill.data.options import options_of
from cotdistill.data.rows import Row, data_folder, hub_rows, local_file, rows
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._splitting import (
    Splits,
    by_index_file,
    by_share,
    by_template,
    carve_validation,
)
from cotdistill.text.options import letter_of, split_options

OFFICIAL = (("train", "train"), ("validation", "validation"), ("test", "test"))
"""A data set whose splits are called as ours are."""


class Hub(NamedTuple):
    """Place of a data set on the hub: id, configuration, and the hub's split for each of ours."""

    id: str
    config: str | None = None
    splits: tuple[tuple[str, str], ...] = (("train", "train"), ("test", "test"))
    data_files: str | None = None


class Benchmark(Task):
    """Base of the published data sets."""

    data_dir: str | None = None
    """Folder of local files; without it the environment variable COTDISTILL_DATA, else the hub."""
    hub: str | None = None
    """Another hub id with the same columns."""
    split: Literal["default", "template"] = "default"
    """The published split, or one in which no test question shares its template with training."""
    validation: float = Field(default=0.1, ge=0)
    """Share (below 1) or number of training questions set apart where there is no such split."""
    seed: int = 0
    """Deals the validation questions, and splits that were never published."""

    answers: ClassVar[AnswerType]
    file: ClassVar[str] = ""
    """Stem of the local file, where it is not the name."""
    source: ClassVar[Hub | None] = None
    test_share: ClassVar[float] = 0.3
    """Share of test questions where no split was published; Ho et al. deal 70/30."""

    def questions(self, split: Split) -> Iterator[Question]:
        return iter(_splits(self).get(split, ()))

    @property
    def answer_type(self) -> AnswerType:
        return self.answers

    @property
    def name(self) -> str:
        """The name of the task: that of its file."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def stem(self) -> str:
        """Stem of the local file and of the index files."""
        return self.file or self.name

    def question(self, row: Row, id: str) -> Question:
        """Return one row as a question; options may stand in a field or in the question's text."""
        text = question_of(row)
        options, labels = options_of(row)
        if not options:
            text, options = split_options(text.removeprefix("Q:").strip())
        given = text_of(row, ALIASES["answer"], "answer")
        answer = letter_of(given, options, row.place, labels) if options else self.gold(row)
        rationale = optional(row, ("rationale",), "rationale")
        return Question(id, text, answer, options, rationale=rationale)

    def gold(self, row: Row, column: str = "", after: str = "") -> str:
        """Return the gold answer of a row in canonical form."""
        names = (column,) if column else ALIASES["answer"]
        text = text_of(row, names, "answer")
        return gold_of(text, self.answers, row.place, after).canonical

    def local(self, folder: Path) -> Splits | None:
        """Return the splits as local files hold them, or None where the folder has none of them."""
        whole = local_file(folder, self.stem)
        if whole is not None:
            return self._dealt(self._numbered(list(rows(whole))), folder)
        return self._official(self.parts(folder), folder)

    def parts(self, folder: Path) -> dict[str, list[Row]]:
        """Return the rows of each split that has a local file of its own."""
        found = {name: local_file(folder / self.stem, name) for name, _ in OFFICIAL}
        return {name: list(rows(path)) for name, path in found.items() if path is not None}

    def wanted(self, row: Row) -> bool:
        """Return whether a row belongs to the task; those that do not keep their index."""
        return True

    def hub_split(self, source: Hub, split: str) -> list[Row]:
        """Return the rows of one split on the hub."""
        return list(hub_rows(source.id, source.config, split, source.data_files))

    def _numbered(self, found: list[Row], first: int = 0) -> list[Question]:
        named = ((row, f"{self.name}/{index}") for index, row in enumerate(found, first))
        return [self.question(row, id) for row, id in named if self.wanted(row)]

    def _official(self, parts: dict[str, list[Row]], folder: Path | None) -> Splits | None:
        if not parts.get("train") and not parts.get("test"):
            return None
        splits: Splits = {}
        first = 0
        for name, _ in OFFICIAL:
            splits[name] = self._numbered(parts.get(name, []), first)
            first += len(parts.get(name, []))
        if self.split == "template" or not splits["test"]:
            return self._dealt([question for part in splits.values() for question in part], folder)
        return {name: part for name, part in splits.items() if part}

    def _dealt(self, questions: list[Question], folder: Path | None) -> Splits:
        index_file = folder / "splits" / f"{self.stem}__{self.split}.json" if folder else None
        if index_file is not None and index_file.is_file():
            return by_index_file(questions, index_file)
        places: Mapping[str, Sequence[int]]
        if self.split == "template":
            texts = (question.text for question in questions)
            places = by_template(texts, self.test_share, self.seed)
        else:
            shares = {"train": 1 - self.test_share, "test": self.test_share}
            places = by_share(len(questions), shares, self.seed)
        return {name: [questions[place] for place in part] for name, part in places.items()}

    def load(self) -> Splits:
        """Return all splits, validation included."""
        folder = data_folder(self.data_dir)
        splits = self.local(folder) if folder else None
        if splits is None:
            splits = self._from_hub(folder)
        return carve_validation(splits, self.validation, self.seed)

    def _from_hub(self, folder: Path | None) -> Splits:
        absent = f"{folder} has no {self.stem}.json and no folder {self.stem}"
        searched = absent if folder else "data_dir is not set"
        if self.source is None:
            raise DataError(
                f"task {self.name}: {searched}, and no hub holds this data set; get its files and "
                "set data_dir"
            )
        source = self.source._replace(id=self.hub) if self.hub else self.source
        try:
            parts = {name: self.hub_split(source, theirs) for name, theirs in source.splits}
            return self._official(parts, None) or {}
        except DataError as error:
            raise DataError(f"task {self.name}: {searched}; {error}") from error


@lru_cache(maxsize=8)
def _splits(task: Benchmark) -> Splits:
    return task.load()
