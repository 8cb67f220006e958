"""GSM8K (Cobbe et al. 2021): 7,473 + 1,319 grade-school word problems with worked solutions, official split.

    {"question": "Ina packs 6 boxes of 4 pens and ...", "answer": "That is 6*4 = <<6*4=24>>24 pens.\\n...\\n#### 30"}

The Socratic form writes `sub-question ** solution` on each line. Local files: `gsm8k/train.jsonl`, `gsm8k/test.jsonl` and,
where there are any, `gsm8k/train_socratic.jsonl`, `gsm8k/test_socratic.jsonl`; hub: openai/gsm8k, configurations main and socratic.
Index: train from 0, test from 7,473, as in the index file of Ho et al.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row, hub_rows, local_file, rows, text_of
from cotdistill.errors import DataError
from cotdistill.records import Question, Step
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.tasks._splitting import Splits

__all__ = ["GSM8K"]

_ANNOTATION = re.compile(r"<<[^<>]*>>")


class GSM8K(Benchmark):
    """GSM8K: grade-school word problems with worked solutions and, where there are files of them, gold sub-questions."""

    socratic: bool = True
    """Read the gold sub-questions of the Socratic form into the steps where they can be found."""
    annotations: bool = False
    """Keep the calculator annotations <<48/2=24>> in rationales and solutions."""

    name: ClassVar[str] = "gsm8k"
    kind: ClassVar[AnswerType] = Number()
    source: ClassVar[Hub | None] = Hub("openai/gsm8k", "main")

    def question(self, row: Row, id: str) -> Question:
        worked = text_of(row, ("answer",), "answer")
        solution, marker, answer = worked.rpartition("####")
        if not marker:
            raise DataError(
                f"{row.place}: answer: no line '#### <number>'; the official files end every answer with one"
            )
        socratic = (
            text_of(row, ("socratic",), "socratic answer") if "socratic" in row.fields else worked
        )
        steps = tuple(
            self._step(line) for line in socratic.rpartition("####")[0].split("\n") if line.strip()
        )
        rationale = " ".join(self._clean(line) for line in solution.split("\n") if line.strip())
        text = text_of(row, ("question",), "question")
        return Question(
            id,
            text,
            self.canonical(answer.strip(), row),
            rationale=rationale,
            steps=steps,
            meta={"steps": len(steps)},
        )

    def local(self, folder: Path) -> Splits | None:
        home = folder / self.name
        parts: dict[str, list[Row]] = {}
        for split in ("train", "test"):
            path = local_file(home, split)
            if path is not None:
                parts[split] = list(rows(path))
                socratic = local_file(home, f"{split}_socratic") if self.socratic else None
                if socratic is not None:
                    parts[split] = _joined(parts[split], rows(socratic))
        return self._official(parts, folder) if parts else None

    def hub_split(self, source: Hub, split: str) -> list[Row]:
        official = super().hub_split(source, split)
        return (
            _joined(official, hub_rows(source.id, "socratic", split)) if self.socratic else official
        )

    def _step(self, line: str) -> Step:
        sub_question, stars, solution = line.partition(" ** ")
        if not stars:
            sub_question, solution = "", line
        results = re.findall(r"<<[^<>]*=\s*([^<>=]+)>>", solution)
        answer = results[-1] if results else (self.kind.extract(solution) or "")
        return Step(sub_question.strip(), self._clean(solution), answer)

    def _clean(self, line: str) -> str:
        return (line if self.annotations else _ANNOTATION.sub("", line)).strip()


def _joined(official: list[Row], socratic: Iterable[Row]) -> list[Row]:
    """The official rows with the Socratic answer of the same question as a further field."""
    answers = {str(row.fields.get("question")): row.fields.get("answer") for row in socratic}
    return [
        Row(row.place, {**row.fields, "socratic": found})
        if (found := answers.get(str(row.fields.get("question"))))
        else row
        for row in official
    ]
