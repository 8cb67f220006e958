"""Rows of BIG-bench multiple-choice tasks on the hub: inputs, options and their scores."""

import random
from string import ascii_uppercase

from cotdistill.answers.choice import Choice
from cotdistill.data.fields import pick, text_of
from cotdistill.data.rows import Row
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark


class BigBench(Benchmark):
    """Base of the tasks of BIG-bench."""

    answers = Choice()

    def question(self, row: Row, id: str) -> Question:
        """Return a row as a question; the right option stands first there, so they are shuffled."""
        if "multiple_choice_targets" not in row.fields:
            return super().question(row, id)
        text = text_of(row, ("inputs",), "question").removeprefix("Q:").split("\n  choice:")[0]
        options = [str(option) for option in pick(row, ("multiple_choice_targets",), "options")]
        scores = list(pick(row, ("multiple_choice_scores",), "scores of the options"))
        if scores.count(1) != 1 or len(scores) != len(options):
            wrong = "multiple_choice_scores: exactly one option must be right"
            raise DataError(f"{row.place}: {wrong}")
        right = options[scores.index(1)]
        random.Random(f"options/{self.seed}/{id}").shuffle(options)
        letter = ascii_uppercase[options.index(right)]
        return Question(id, text.strip().removesuffix("A:").strip(), letter, tuple(options))
