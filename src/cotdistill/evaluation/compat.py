"""Two published evaluators, reproduced exactly, errors included: Kojima et al. 2022 and Ho et al.
2023.

They exist to check published figures and to show what our own rules change; no result of ours rests
on them. Both pick candidates by one pattern for each data set and take the first after the answer
trigger:

| data set | candidates | comparison (Kojima) | comparison (Ho) |
|---|---|---|---|
| numbers | commas dropped, signed digits | string equality | string equality; three within 1e-6 |
| choices | every capital letter A–E, A–F or A–C, also inside words | equality | equality |
| yes/no | lower case, marks become spaces, words yes and no | equality | equality |
| last letters | quotes, periods and white space removed, all the rest | equality | equality |

Kojima: a reply to the second call alone is read from its beginning; a few-shot text after its last
"The answer is", and where that is missing the LAST candidate counts. Ho: after the first occurrence
of the template's prefix, else the last.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

PublishedRules: TypeAlias = Literal["kojima2022", "ho2023"]
Family: TypeAlias = Literal["number", "choice", "yes_no", "text"]

HO_PREFIXES: dict[str, str | None] = {
    "zs": None,
    "zs_cot": None,
    "ft_natural": None,
    "ft_token": None,
    "fs_cot": "The answer is",
    "ft_cot_natural": "Therefore, the answer is",
    "ft_cot_token": "-->",
}
"""Ho et al.'s prediction templates and the text that stands before an answer in each; None: the
answer comes first."""

_KOJIMA_TRIGGER = "The answer is"
_LETTERS = {"date_understanding": "ABCDEF", "tracking_shuffled_objects": "ABC"}
_AS_FLOATS = ("addsub", "svamp", "single_eq")
TASKS = {
    "last_letters": "last_letter_concatenation",
    "commonsensqa": "commonsense_qa",
    "singleeq": "single_eq",
    "strategyqa": "strategy_qa",
    "bigbench_date": "date_understanding",
    "object_tracking": "tracking_shuffled_objects",
    "shuffled_objects": "tracking_shuffled_objects",
}
"""Names that other collections use, and our task."""
# What the authors take out of texts before they compare them.
_MARKS = re.compile(r"[\"'.\s]")
_MARKS_AND_COMMAS = re.compile(r"[\"'.\s:,]")


def family(kind: str) -> Family:
    """Return the published way of picking candidates that fits an answer type of ours."""
    families: dict[str, Family] = {"number": "number", "choice": "choice", "yes_no": "yes_no"}
    return families.get(kind, "text")


@dataclass(frozen=True, slots=True)
class PublishedEvaluator:
    """One published evaluator for one data set.

    `task` is our name of the data set or the authors'; a data set they never ran is read by its
    `kind` of answer. `template` is one of HO_PREFIXES; None takes the reply to the second call as
    "zs_cot" and anything else as "ft_cot_token" where "-->" occurs, else as "fs_cot".
    """

    name: PublishedRules
    task: str
    kind: Family
    template: str | None = None

    def predict(self, completion: str, answer_completion: str | None = None) -> str | None:
        """Return the evaluator's prediction: a string ("" in Kojima's, None in Ho's where there is
        no candidate)."""
        if self.name == "kojima2022":
            return self._kojima(completion, answer_completion)
        return self._ho(completion, answer_completion)

    def correct(self, prediction: str | None, gold: str) -> bool:
        """Return whether the evaluator counts the prediction as right; `gold` as the authors' data
        files write it."""
        if self.name == "kojima2022":
            return prediction == _kojima_gold(gold, self.kind)
        if prediction is None:
            return False
        gold = gold.replace(",", "") if self.kind == "number" else gold
        gold = gold.lower() if self.kind == "yes_no" else gold
        if self.kind == "number" and self._task in _AS_FLOATS:
            return abs(float(prediction) - float(gold)) <= 1e-6
        return prediction == gold

    @property
    def _task(self) -> str:
        return TASKS.get(self.task, self.task)

    def _kojima(self, completion: str, answer_completion: str | None) -> str:
        if answer_completion is not None:
            text, first = answer_completion, True
        else:
            parts = completion.split(_KOJIMA_TRIGGER)
            text, first = parts[-1], len(parts) > 1
        candidates = self._candidates(text, r"-?\d+\.?\d*")
        chosen = (candidates[0] if first else candidates[-1]) if candidates else ""
        return chosen.removesuffix(".")

    def _ho(self, completion: str, answer_completion: str | None) -> str | None:
        text = completion if answer_completion is None else answer_completion
        guess = "ft_cot_token" if "-->" in completion else "fs_cot"
        template = self.template or (guess if answer_completion is None else "zs_cot")
        prefix = HO_PREFIXES[template]
        at = text.find(prefix) if prefix else -1
        if prefix and at >= 0:
            text = text[at + len(prefix) :]
        candidates = self._candidates(text, r"-?\d+(?:\.\d+)?")
        if not candidates:
            return None
        return candidates[-1] if prefix and at < 0 else candidates[0]

    def _candidates(self, text: str, number: str) -> list[str]:
        if self.kind == "number":
            # As the published evaluators do: grouping commas go before numbers are looked for.
            return re.findall(number, text.replace(",", ""))
        if self.kind == "choice":
            # The published evaluators take any capital letter among the options for an answer.
            return re.findall(f"[{_LETTERS.get(self._task, 'ABCDE')}]", text)
        if self.kind == "text":
            return [_MARKS.sub("", text)]
        words = _MARKS_AND_COMMAS.sub(" ", text.lower()).split(" ")
        return [word for word in words if word in ("yes", "no")]


def _kojima_gold(gold: str, kind: Family) -> str:
    """Gold as Kojima et al.'s reader of data sets writes it."""
    if kind == "number":
        return gold.removesuffix(".0")
    return gold.lower() if kind == "yes_no" else gold
