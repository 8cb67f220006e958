"""Your own data: JSONL, JSON, CSV, TSV or Parquet files, or a hub data set, with a mapping of
columns and an answer type.

    task: {name: custom, path: questions.jsonl, columns: {question: problem, answer: gold}}
    task: {name: custom, path: {train: train.csv, test: test.csv}, answer: choice}
    task: {name: custom, path: quiz.csv, answer: choice, columns: {options: [A, B, C, D]}}
    task: {name: custom, path: "s3://bucket/problems-*.parquet", answer: number}
    task: {name: custom, path: owner/dataset, config: main, answer: number, answer_after: "####"}

One file is dealt into splits by `shares` and `seed`; with one file a split, a missing validation
split is taken out of train. Columns of ours: question, answer, and where there are any options,
context, rationale, id. Options are read in the forms of `data/options.py`, or stand at the end of
the question ("Options: (A) red (B) blue"); the answer to a choice is a letter, a label, an option's
text, or its number (`answer_index`). A column may hold a chat: its last question and its last reply
are read. The task is called by its file: `problems` for problems.csv.
"""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from cotdistill import plugins
from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType, Split, Task
from cotdistill.data.fields import (
    chat_column,
    chat_reply,
    gold_of,
    missing,
    optional,
    pick,
    question_of,
    text_of,
)
from cotdistill.data.options import option_columns, options_of
from cotdistill.data.rows import (
    Row,
    hub_rows,
    is_hub_id,
    local_file,
    rows,
    stamps_of,
)
from cotdistill.data.stored import StoredQuestions, first_repeated
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._splitting import by_share, by_template, carve_validation, held_out
from cotdistill.text.options import letter_of, split_options
from cotdistill.text.templates import question_words
from cotdistill.util.addresses import is_address, path_of

Splits = dict[str, StoredQuestions]

_FIELDS = ("question", "answer", "options", "context", "rationale", "id")
_Columns = dict[str, str | tuple[str, ...]]
_Name = Literal["train", "validation", "test", "ood"]
_NAMES: tuple[_Name, ...] = ("train", "validation", "test", "ood")


class Custom(Task):
    """Your own questions from a JSONL, CSV or Parquet file or a hub data set."""

    path: str | dict[_Name, str]
    """One file (with `*` several), address or hub id, one for each split, or a folder with a file
    for each. In an address `${NAME}` stands for what is secret, from the environment."""
    answer: str | dict[str, Any] = "number"
    """Answer type: number, choice, yes_no, text, date, math_expression, or {name: …, settings}."""
    columns: _Columns = Field({})
    """Our field: your column, for those that are named differently; several, where files differ."""
    answer_after: str = ""
    """The answer column is a worked solution; the answer stands behind this mark, the rationale
    before it."""
    answer_index: Literal[0, 1, "text"] | None = None
    """The first option's number, where the answer to a choice is a number; "text": it is an
    option's text."""
    unlabelled: bool = False
    """Training questions may have no answer; keep their rationales by the filter self_consistency.
    Validation and test questions are taken from those that have one."""
    overlap: Literal["refuse", "drop"] = "refuse"
    """Training questions that stand in the test split too, by their words: refuse the data, or
    leave them out."""
    config: str | None = None
    """Configuration of a hub data set."""
    shares: dict[str, float] = Field({"train": 0.7, "validation": 0.1, "test": 0.2})
    """Shares of the splits when there is one file."""
    split: Literal["random", "template"] = "random"
    """template: questions that differ in numbers and names only go to the same split."""
    validation: float = Field(default=0.1, ge=0)
    """Share (below 1) or number of training questions set apart where there is no validation file.
    """
    seed: int = 0

    @field_validator("answer", mode="before")
    @classmethod
    def _an_entry(cls, answer: Any) -> Any:
        return plugins.as_entries(answer)

    @property
    def default_label(self) -> str:
        sources = [self.path] if isinstance(self.path, str) else list(self.path.values())
        path = _path(sources[0])
        # The files of a folder are called by their splits, the folder by what they hold.
        named = path if isinstance(self.path, str) else path.parent
        name = named.name.partition(".")[0]
        # All files of a folder ("problems/*.jsonl") are called by it.
        return (name if name.strip("*") else named.parent.name) or "custom"

    @field_validator("columns")
    @classmethod
    def _known_fields(cls, columns: _Columns) -> _Columns:
        if wrong := [name for name in columns if name not in _FIELDS]:
            raise ValueError(f"{wrong[0]!r} is no field of a question; map {', '.join(_FIELDS)}")
        return columns

    @field_validator("shares")
    @classmethod
    def _sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        if wrong := [name for name in shares if name not in _NAMES]:
            raise ValueError(f"{wrong[0]!r} is no split; there are train, validation, test and ood")
        if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values(), default=0) < 0:
            raise ValueError(f"shares must be positive and sum to 1, not {sum(shares.values()):g}")
        return shares

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @cached_property
    def _answer_type(self) -> AnswerType:
        return plugins.build("answers", self.answer, AnswerType)

    @property
    def answer_type(self) -> AnswerType:
        return self._answer_type

    def questions(self, split: Split) -> Iterator[Question]:
        splits = _splits(self, json.dumps(self._stamps()))
        if split not in splits and split in ("train", "test"):
            raise DataError(
                f"task custom: no questions for the split {split!r}; give `path` a file for it, "
                "or shares"
            )
        if split in splits and not splits[split]:
            raise DataError(
                f"task custom: the split {split!r} is empty; give it more rows or a larger share"
            )
        return iter(splits.get(split, ()))

    def stamp(self) -> Any:
        for source in filter(is_address, self._sources()):
            _told.pop(source, None)  # a run asks once, and what it reads then is what was told
        found = self._stamps()
        # A class derived from this one may read what it likes.
        return found if type(self) is Custom and None not in found else None

    def _stamps(self) -> list[list[Any] | None]:
        """Return what shows a change of each file: one changed meanwhile is read again."""
        found = []
        for source in self._sources():
            known = _told.get(source) or stamps_of(source)
            if is_address(source):
                _told[source] = known
            found += known
        return found

    def _sources(self) -> list[str]:
        if isinstance(self.path, dict):
            return list(self.path.values())
        path = Path(self.path).expanduser()
        return list(_folder_files(path).values()) if path.is_dir() else [self.path]

    def load(self) -> Splits:
        """Return all splits.

        Raises:
            DataError: a file is missing or malformed, a column is missing, an answer is none of
                its type, or training questions stand in the test split.
        """
        return self._apart(self._read_all())

    def _read_all(self) -> Splits:
        if isinstance(self.path, dict):
            return self._parts(self.path)
        path = Path(self.path).expanduser()
        if path.is_dir():
            return self._parts(_folder_files(path))
        if not path.exists() and is_hub_id(self.path):
            return self._parts(dict.fromkeys(_hub_splits(self.path, self.config), self.path))
        questions = self._read(self.path, partial(rows, self.path))
        if not questions:
            raise DataError(f"{self.path}: no questions; the file is empty")
        return self._deal(questions)

    def _deal(self, questions: StoredQuestions) -> Splits:
        labelled = self._labelled(questions)
        dealt: Mapping[str, Sequence[int]]
        if self.split == "template":
            texts = (one.text for one in questions if one.answer is not None)
            found = by_template(texts, self.shares.get("test", 0.2), self.seed)
            dealt = carve_validation(found, self.shares.get("validation", 0.1), self.seed)
        else:
            dealt = by_share(len(labelled), self.shares, self.seed)
        places = {name: (labelled[place] for place in part) for name, part in dealt.items()}
        # Questions without an answer are in no part: all of them are trained on.
        splits = questions.dealt(places, rest="train")
        return {name: part for name, part in splits.items() if name in dealt or len(part)}

    def _labelled(self, questions: StoredQuestions) -> Sequence[int]:
        """Return the places of the questions that have an answer."""
        if not self.unlabelled:
            return range(len(questions))
        found = enumerate(questions)
        return array("I", (place for place, one in found if one.answer is not None))

    def _parts(self, sources: Mapping[_Name, str]) -> Splits:
        splits: Splits = {
            name: self._read(name, self._rows(source, name)) for name, source in sources.items()
        }
        every = partial(_ids, list(splits.values()))
        if first_repeated(every) is not None:
            for name, part in splits.items():
                named = (replace(one, id=f"{name}/{one.id}") for one in part)
                splits[name] = StoredQuestions(named)
        for name in sources if self.unlabelled else ():
            bare = (one for one in splits[name] if one.answer is None)
            if name != "train" and (wrong := next(bare, None)):
                raise DataError(
                    f"{sources[name]}: question {wrong.id!r} of the {name} split has no answer; "
                    "only training questions can do without"
                )
        train = splits.get("train")
        if train is None or splits.get("validation"):
            return splits
        labelled = self._labelled(train)
        chosen = held_out(len(labelled), self.validation, self.seed)
        if not chosen:
            return splits
        apart = train.dealt({"validation": (labelled[place] for place in chosen)}, rest="train")
        return {**splits, "train": apart["train"], "validation": apart["validation"]}

    def _rows(self, source: str, split: str) -> Callable[[], Iterator[Row]]:
        path = Path(source).expanduser()
        if path.exists() or not is_hub_id(source):
            return partial(rows, source)
        return partial(hub_rows, source, self.config, split)

    def _apart(self, splits: Splits) -> Splits:
        """Return the splits with no question of the test split in training."""
        tested = {_words(question) for question in splits.get("test", ())}
        both, apart = 0, dict(splits)
        for name, part in splits.items():
            if name not in ("test", "ood"):
                found = (n for n, one in enumerate(part) if _words(one) in tested)
                if places := array("I", found):
                    both += len(places)
                    apart[name] = part.dealt({"tested": places}, rest=name)[name]
        if both and self.overlap == "refuse":
            files = self.path if isinstance(self.path, str) else " and ".join(self.path.values())
            raise DataError(
                f"{files}: {both} training questions stand in the test split ({len(tested)} "
                "questions) too; set `overlap: drop` to leave them out of training"
            )
        return apart

    def _read(self, source: str, found: Callable[[], Iterator[Row]]) -> StoredQuestions:
        stem = _path(source).stem.replace("*", "all")
        read = (self._question(row, f"{stem}/{index}") for index, row in enumerate(found()))
        questions = StoredQuestions(read)
        if (place := first_repeated(questions.ids)) is not None:
            row, id = next(islice(found(), place, None)), next(islice(questions.ids(), place, None))
            raise DataError(f"{row.place}: id {id!r} stands twice; ids must differ")
        return questions

    def _question(self, row: Row, id: str) -> Question:
        text = question_of(row, self._column(row, "question", "question_stem"))
        options, labels = options_of(row, self._option_columns(row))
        if not options and isinstance(self.answer_type, Choice):
            text, options = split_options(text)
        rationale, answer = self._optional(row, "rationale"), None
        if (given := self._given(row)) is not None:
            if self.answer_after or not options:
                gold = gold_of(given, self.answer_type, row.place, self.answer_after)
                given, rationale = gold.canonical, rationale or gold.worked
            index = self.answer_index
            answer = letter_of(given, options, row.place, labels, index=index) if options else given
        id = self._optional(row, "id") or id
        return Question(id, text, answer, options, self._optional(row, "context"), rationale)

    def _given(self, row: Row) -> str | None:
        """The answer as the row has it; None for a question without one where that may be."""
        column = self._column(row, "answer", "answerKey")
        if column not in row.fields and "answer" not in self.columns and not self.unlabelled:
            column = chat_column(row) or column
        if self.unlabelled and missing(row.fields.get(column)):
            return None
        return chat_reply(row, column) or text_of(row, (column,), "answer")

    def _option_columns(self, row: Row) -> str | tuple[str, ...]:
        mapped = self.columns.get("options", "")
        choice = isinstance(self.answer_type, Choice)
        if mapped and not isinstance(mapped, str):
            return mapped
        # MMLU's `choices` are options where a choice is asked for; elsewhere it may be any column.
        column = self._column(row, "options", "choices" if choice else "options")
        alone = choice and not mapped and column not in row.fields
        return (option_columns(row) if alone else ()) or column

    def _column(self, row: Row, name: str, other: str = "") -> str:
        """The column of a field: the one that is mapped, else its own name, else ARC's."""
        mapped = self.columns.get(name, (name, other))
        names = (mapped,) if isinstance(mapped, str) else mapped
        return next((one for one in names if one in row.fields), names[0])

    def _optional(self, row: Row, name: str) -> str:
        column = self._column(row, name)
        if name in self.columns and column not in row.fields:
            pick(row, (column,), name)
        return optional(row, (column,), name)


def _ids(parts: Sequence[StoredQuestions]) -> Iterator[str]:
    return chain.from_iterable(part.ids() for part in parts)


def _words(question: Question) -> str:
    whole = " ".join((question.text, question.context, *question.options))
    return " ".join(question_words(whole))


def _folder_files(folder: Path) -> dict[_Name, str]:
    found = {name: str(path) for name in _NAMES if (path := local_file(folder, name))}
    if not found:
        raise DataError(
            f"{folder}: holds no train, validation or test file; name one, or put train.jsonl in it"
        )
    return found


def _hub_splits(hub: str, config: str | None) -> list[_Name]:
    import datasets

    try:
        names = datasets.get_dataset_split_names(hub, config)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"path: {hub}: no such file, and as a hub id: {reason}; correct it, or check the net"
        ) from error
    return [name for name in _NAMES[:3] if name in names]


def _path(source: str) -> Path:
    return path_of(source) if is_address(source) else Path(source)


@lru_cache(maxsize=8)
def _splits(task: Custom, stamps: str) -> Splits:
    return task.load()


_told: dict[str, list[list[Any] | None]] = {}
"""The stamps of each address: a request each time that questions are read would be too many."""
