"""What all published data sets share: local files or a hub, the published split, a validation share, stable ids.

A task's own file states its name, its kind of answer, its hub id and how one row becomes a question. Local files are
looked for in `data_dir` (or COTDISTILL_DATA) as `<name>.json`, a list of `{question, answer, rationale?}` with index files
`splits/<name>__default.json` and `__template.json` (the layout of Ho et al. 2023), or as `<name>/train.jsonl`,
`<name>/test.parquet` and so on with the hub's own columns. Ids are `<name>/<index in the original order>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from cotdistill.contracts import AnswerType, Split, Task
from cotdistill.data.rows import Row, data_folder, hub_rows, local_file, rows, text_of
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

__all__ = ["Benchmark", "Hub"]

QUESTION = ("question", "instruction", "input", "inputs", "problem", "question_concat")
ANSWER = ("answer", "final_ans", "label", "target", "result", "output", "targets", "output_answer")


class Hub(NamedTuple):
    """Where a data set lies on the hub: id, configuration, and the hub's split for each of ours."""

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
    """The published split, or one in which no test question shares its template with a training question."""
    validation: float = Field(default=0.1, ge=0)
    """Share (below 1) or number of training questions set apart where the data set has no validation split."""
    seed: int = 0
    """Deals the validation questions, and splits that were never published."""

    name: ClassVar[str]
    file: ClassVar[str] = ""
    """Stem of the local file, where it is not the name."""
    kind: ClassVar[AnswerType]
    source: ClassVar[Hub | None] = None
    test_share: ClassVar[float] = 0.3
    """Share of test questions where no split was published; Ho et al. deal 70/30."""

    def questions(self, split: Split) -> Iterator[Question]:
        return iter(_splits(self).get(split, ()))

    @property
    def answer_type(self) -> AnswerType:
        return self.kind

    @property
    def stem(self) -> str:
        """Stem of the local file and of the index files."""
        return self.file or self.name

    def question(self, row: Row, id: str) -> Question:
        """One row as a question; the default reads a question, an answer, a rationale, and options in the question's text."""
        text, options = split_options(text_of(row, QUESTION, "question"))
        answer = text_of(row, ANSWER, "answer")
        if options:
            answer = letter_of(answer, options, row.place)
        rationale = row.fields.get("rationale") or ""
        return Question(
            id, text, self.canonical(answer, row), options, rationale=str(rationale).strip()
        )

    def canonical(self, answer: str, row: Row) -> str:
        """A gold answer in the form that the answer kind extracts.

        Raises:
            DataError: it is no answer of this kind.
        """
        found = answer if self.kind.same(answer, answer) else None
        canonical = self.kind.extract(f"The answer is {answer}") if found else None
        if canonical is None:
            raise DataError(
                f"{row.place}: {answer!r} is no answer of kind {type(self.kind).__name__}"
            )
        return canonical

    def local(self, folder: Path) -> Splits | None:
        """The splits as local files hold them, or None where the folder has none of this data set."""
        whole = local_file(folder, self.stem)
        if whole is not None:
            return self._dealt(self._numbered(list(rows(whole))), folder)
        parts = {name: local_file(folder / self.stem, stem) for name, stem in _STEMS}
        if parts["train"] is None and parts["test"] is None:
            return None
        return self._official(
            {name: list(rows(path)) for name, path in parts.items() if path is not None}, folder
        )

    def extra_splits(self, splits: Splits) -> Splits:
        """Further splits made of those there are, such as longer questions for "ood"."""
        return {}

    def wanted(self, row: Row) -> bool:
        """Whether a row belongs to the task; those that do not keep their index."""
        return True

    def hub_split(self, source: Hub, split: str) -> list[Row]:
        """The rows of one split on the hub."""
        return list(hub_rows(source.id, source.config, split, source.data_files))

    def _numbered(self, found: list[Row], first: int = 0) -> list[Question]:
        named = ((row, f"{self.name}/{index}") for index, row in enumerate(found, first))
        return [self.question(row, id) for row, id in named if self.wanted(row)]

    def _official(self, parts: dict[str, list[Row]], folder: Path | None) -> Splits:
        splits: Splits = {}
        first = 0
        for name in ("train", "validation", "test"):
            splits[name] = self._numbered(parts.get(name, []), first)
            first += len(parts.get(name, []))
        if self.split == "template" or not splits["test"]:
            return self._dealt([question for part in splits.values() for question in part], folder)
        return {name: part for name, part in splits.items() if part}

    def _dealt(self, questions: list[Question], folder: Path | None) -> Splits:
        index_file = folder / "splits" / f"{self.stem}__{self.split}.json" if folder else None
        if index_file is not None and index_file.is_file():
            return by_index_file(questions, index_file)
        if self.split == "template":
            return by_template(questions, self.test_share, self.seed)
        return by_share(
            questions, {"train": 1 - self.test_share, "test": self.test_share}, self.seed
        )

    def load(self) -> Splits:
        """All splits, validation included."""
        folder = data_folder(self.data_dir)
        splits = self.local(folder) if folder else None
        if splits is None:
            splits = self._from_hub(folder)
        splits = carve_validation(splits, self.validation, self.seed)
        return splits | self.extra_splits(splits)

    def _from_hub(self, folder: Path | None) -> Splits:
        searched = (
            f"{folder} has no {self.stem}.json and no folder {self.stem}"
            if folder
            else "data_dir is not set"
        )
        if self.source is None:
            raise DataError(
                f"task {self.name}: {searched}, and no hub holds this data set; get its files and set data_dir"
            )
        source = self.source._replace(id=self.hub) if self.hub else self.source
        try:
            return self._official(
                {name: self.hub_split(source, theirs) for name, theirs in source.splits}, None
            )
        except DataError as error:
            raise DataError(f"task {self.name}: {searched}; {error}") from error


_STEMS = (("train", "train"), ("validation", "validation"), ("test", "test"))


@lru_cache(maxsize=8)
def _splits(task: Benchmark) -> dict[str, Any]:
    return task.load()
