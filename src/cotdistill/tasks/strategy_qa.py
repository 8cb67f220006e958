"""StrategyQA (Geva et al. 2021): 2,290 yes/no questions with facts; Ho et al. deal 1,603/687.

{"question": "Can a pen outweigh a whale?", "answer": "No", "rationale": "A pen weighs ..."}
"""

from cotdistill.answers.yes_no import YesNo
from cotdistill.data.rows import Row
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub


class StrategyQA(Benchmark):
    """StrategyQA: yes/no questions whose steps are not in the question."""

    answers = YesNo()
    source = Hub("ChilleD/StrategyQA")

    def question(self, row: Row, id: str) -> Question:
        facts = row.fields.get("rationale") or row.fields.get("facts") or ""
        joined = " ".join(facts) if isinstance(facts, list) else str(facts)
        fields = {**row.fields, "rationale": " ".join(joined.split())}
        return super().question(Row(row.place, fields), id)
