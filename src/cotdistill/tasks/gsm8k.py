"""GSM8K (Cobbe et al. 2021): 7,473 + 1,319 grade-school word problems with worked solutions,
official split.

    {"question": "Ina packs 6 boxes of 4 pens and ...",
     "answer": "That is 6*4 = <<6*4=24>>24 pens.\\n...\\n#### 30"}

The Socratic form writes `sub-question ** solution` on each line. Local files: `gsm8k/train.jsonl`,
`gsm8k/test.jsonl` and, where there are any, `gsm8k/train_socratic.jsonl`,
`gsm8k/test_socratic.jsonl`; hub: openai/gsm8k, configurations main and socratic. Index: train from
0, test from 7,473, as in the index file of Ho et al.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from cotdistill.answers.number import Number
from cotdistill.data.fields import gold_of, optional, text_of
from cotdistill.data.rows import Row, hub_rows, local_file, rows
from cotdistill.records import Question, Step
from cotdistill.tasks._benchmark import Benchmark, Hub

# What the calculator wrote; bounded by its own brackets.
_ANNOTATION = re.compile(r"<<[^<>]*>>")


class GSM8K(Benchmark):
    """GSM8K: grade-school word problems with worked solutions and, where there are files of them,
    gold sub-questions."""

    annotations: bool = False
    """Keep the calculator annotations <<48/2=24>> in rationales and solutions."""

    answers = Number()
    source = Hub("openai/gsm8k", "main")

    def question(self, row: Row, id: str) -> Question:
        worked = text_of(row, ("answer",), "answer")
        gold = gold_of(worked, self.answers, row.place, "####")
        socratic = optional(row, ("socratic",), "socratic answer") or worked
        lines = socratic.rpartition("####")[0].split("\n")
        steps = tuple(self._step(line) for line in lines if line.strip())
        rationale = " ".join(self._clean(line) for line in gold.worked.split("\n") if line.strip())
        text, meta = text_of(row, ("question",), "question"), {"steps": len(steps)}
        return Question(id, text, gold.canonical, rationale=rationale, steps=steps, meta=meta)

    def parts(self, folder: Path) -> dict[str, list[Row]]:
        parts = super().parts(folder)
        for split in parts:
            socratic = local_file(folder / self.name, f"{split}_socratic")
            parts[split] = _joined(parts[split], rows(socratic)) if socratic else parts[split]
        return parts

    def hub_split(self, source: Hub, split: str) -> list[Row]:
        socratic = hub_rows(source.id, "socratic", split)
        return _joined(super().hub_split(source, split), socratic)

    def _clean(self, line: str) -> str:
        return (line if self.annotations else _ANNOTATION.sub("", line)).strip()

    def _step(self, line: str) -> Step:
        sub_question, stars, solution = line.partition(" ** ")
        if not stars:
            sub_question, solution = "", line
        # The right side of each calculator annotation; no bracket inside keeps the search linear.
        results = re.findall(r"<<[^<>]*=\s*([^<>=]+)>>", solution)
        answer = results[-1] if results else (self.answers.extract(solution) or "")
        return Step(sub_question.strip(), self._clean(solution), answer)


def _joined(official: list[Row], socratic: Iterable[Row]) -> list[Row]:
    """The official rows with the Socratic answer of the same question as a further field."""
    answers = {str(row.fields.get("question")): row.fields.get("answer") for row in socratic}
    found = ((row, answers.get(str(row.fields.get("question")))) for row in official)
    return [Row(row.place, {**row.fields, "socratic": one}) if one else row for row, one in found]
