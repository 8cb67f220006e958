"""Data sets published in five folds with numbers taken out of the text (Patel et al. 2021): they
are put back in."""

import re
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from cotdistill.answers.number import Number
from cotdistill.data.fields import text_of
from cotdistill.data.rows import Row, rows
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark
from cotdistill.tasks._splitting import Splits

# The published folds write "number0 number1 …" for the values that stand beside them.
_SLOT = re.compile(r"\bnumber(\d+)\b")
_OPERATIONS = {"+": "addition", "-": "subtraction", "*": "multiplication", "/": "division"}


class FoldedBenchmark(Benchmark):
    """Base of the data sets with five folds; `fold` chooses the one that is tested on."""

    fold: int = Field(default=0, ge=0, le=4)

    folder_name: ClassVar[str]
    answers = Number()

    def local(self, folder: Path) -> Splits | None:
        home = folder / self.folder_name / f"fold{self.fold}"
        if not home.is_dir():
            return super().local(folder)
        splits: Splits = {}
        for split, name in (("train", "train"), ("test", "dev")):
            lead, found = (
                f"{self.name}/fold{self.fold}/{name}",
                enumerate(rows(home / f"{name}.csv")),
            )
            splits[split] = [self.question(row, f"{lead}/{index}") for index, row in found]
        return splits

    def question(self, row: Row, id: str) -> Question:
        if "Numbers" not in row.fields:
            return super().question(row, id)
        values = text_of(row, ("Numbers",), "numbers").split()

        def value(slot: re.Match[str]) -> str:
            if int(slot[1]) >= len(values):
                raise DataError(f"{row.place}: Numbers: no value for {slot[0]}")
            return values[int(slot[1])].removesuffix(".0")

        text = _SLOT.sub(value, text_of(row, ("Question",), "question"))
        answer = self.gold(row, "Answer")
        equation = str(row.fields.get("Equation") or "")
        signs = [_OPERATIONS[sign] for sign in equation.split() if sign in _OPERATIONS]
        meta = {"steps": len(signs), "operation": " and ".join(sorted(set(signs)))}
        return Question(id, text, answer, meta=meta if equation else {})
