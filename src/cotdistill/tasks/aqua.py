"""AQuA-RAT (Ling et al. 2017): five-way algebra questions with rationales; 97,467 / 254 / 254,
official split.

    {"question": "...", "options": ["A)21", "B)21.5", ...], "rationale": "...", "correct": "E"}

Local files: `aqua/train.jsonl`, `aqua/validation.jsonl`, `aqua/test.jsonl` with these columns, or
`aqua.json` in the layout of Ho et al., whose index file takes 10,000 questions for training.
"""

from dataclasses import replace

from cotdistill.answers.choice import Choice
from cotdistill.data.rows import Row
from cotdistill.records import Question
from cotdistill.tasks._benchmark import OFFICIAL, Benchmark, Hub


class Aqua(Benchmark):
    """AQuA-RAT: five-way algebra questions with human rationales."""

    answers = Choice()
    source = Hub("deepmind/aqua_rat", "raw", OFFICIAL)

    def question(self, row: Row, id: str) -> Question:
        found = super().question(row, id)
        return replace(found, rationale=" ".join(found.rationale.split()))
