"""OpenBookQA (Mihaylov et al. 2018): 4,957 / 500 / 500 four-way questions of elementary science,
official split.

On the hub: {"question_stem": "...", "choices": {"text": [...], "label": [...]}, "answerKey": "D",
"fact1": "..."}; as a local file also `openbookqa_test.json`: {"instruction": "Q: ... Answer
choices: A: ..., B: ...", "label": "B"}.
"""

from dataclasses import replace
from pathlib import Path

from cotdistill.answers.choice import Choice
from cotdistill.data.fields import optional
from cotdistill.data.rows import Row, local_file, rows
from cotdistill.records import Question
from cotdistill.tasks._benchmark import OFFICIAL, Benchmark, Hub


class OpenBookQA(Benchmark):
    """OpenBookQA: four-way questions of elementary science."""

    fact: bool = False
    """Give the core fact of the question as its context (the hub's configuration "additional")."""

    answers = Choice()
    source = Hub("allenai/openbookqa", "additional", OFFICIAL)

    def question(self, row: Row, id: str) -> Question:
        found = super().question(row, id)
        return replace(found, context=optional(row, ("fact1",), "fact")) if self.fact else found

    def parts(self, folder: Path) -> dict[str, list[Row]]:
        flat = {name: local_file(folder, f"{self.name}_{name}") for name, _ in OFFICIAL}
        named = {name: list(rows(path)) for name, path in flat.items() if path is not None}
        return named | super().parts(folder)
