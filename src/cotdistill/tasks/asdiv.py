"""ASDiv (Miao et al. 2020): 2,305 word problems of many kinds; five folds.

`subset: arithmetic` is ASDiv-A in the published folds of Patel et al. 2021 (`cv_asdiv-a/fold<k>`,
1,217 problems with numbers as number0, number1); `subset: all` reads `asdiv/ASDiv.xml`, leaves out
the problems whose answer is not one number (ratios, pairs, lists), and deals five folds by the
seed.

    <Problem ID="..." Grade="2"><Body>Ina has 4 pens.</Body><Question>How many ...?</Question>
      <Solution-Type>...</Solution-Type><Answer>6 (pens)</Answer><Formula>4+2=6</Formula></Problem>
"""

import random
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Literal

from cotdistill.data.fields import optional, text_of
from cotdistill.data.rows import Row
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Hub
from cotdistill.tasks._folds import FoldedBenchmark
from cotdistill.tasks._splitting import Splits

# One number, a fraction included, with its unit in parentheses: neither a ratio nor a list.
_ONE_NUMBER = re.compile(r"\s*(-?[\d,]*\.?\d+(?:\s*/\s*\d+)?)\s*(?:\([^)]*\)|%)?\s*$")


class ASDiv(FoldedBenchmark):
    """ASDiv: word problems of many kinds, five-fold; all of it, or its arithmetic subset."""

    subset: Literal["arithmetic", "all"] = "arithmetic"

    folder_name = "cv_asdiv-a"
    source = Hub("EleutherAI/asdiv", splits=(("train", "validation"),))

    def local(self, folder: Path) -> Splits | None:
        if self.subset == "arithmetic":
            return super().local(folder)
        path = folder / "asdiv" / "ASDiv.xml"
        if not path.is_file():
            return None
        try:
            problems = list(ElementTree.parse(path).iter("Problem"))
        except ElementTree.ParseError as error:
            raise DataError(f"{path}: malformed XML: {error}") from error
        named = ((problem, f"{self.name}/{index}") for index, problem in enumerate(problems))
        return self._folded([one for problem, id in named if (one := _question(problem, id, path))])

    def wanted(self, row: Row) -> bool:
        return "body" not in row.fields or bool(_ONE_NUMBER.match(str(row.fields.get("answer"))))

    def question(self, row: Row, id: str) -> Question:
        if "body" not in row.fields:
            return super().question(row, id)
        text = f"{text_of(row, ('body',), 'body')} {text_of(row, ('question',), 'question')}"
        meta = {"operation": optional(row, ("solution_type",), "type").lower()}
        formula = optional(row, ("formula",), "formula")
        return Question(id, text, self.gold(row, "answer"), rationale=formula, meta=meta)

    def _folded(self, questions: list[Question]) -> Splits:
        order = list(range(len(questions)))
        random.Random(f"folds/{self.seed}").shuffle(order)
        test = set(order[self.fold :: 5])
        return {
            "train": [question for index, question in enumerate(questions) if index not in test],
            "test": [questions[index] for index in sorted(test)],
        }


def _question(problem: ElementTree.Element, id: str, path: Path) -> Question | None:
    texts = {child.tag: " ".join((child.text or "").split()) for child in problem}
    for name in ("Body", "Question", "Answer"):
        if name not in texts:
            raise DataError(f"{path}: problem {problem.get('ID')}: no <{name}>")
    number = _ONE_NUMBER.match(texts["Answer"])
    if number is None:
        return None
    answer = number[1].replace(",", "").replace(" ", "")
    meta = {"operation": texts.get("Solution-Type", "").lower(), "grade": problem.get("Grade", "")}
    text = f"{texts['Body']} {texts['Question']}".strip()
    return Question(id, text, answer, rationale=texts.get("Formula", ""), meta=meta)
