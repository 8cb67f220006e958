"""How good sub-questions are: BLEU against the gold ones, and how many there are (Shridhar et al. 2023, section 5).

BLEU is sacrebleu's corpus BLEU over whole decompositions (all sub-questions of a problem in a row); it is left out where the
extra `bleu` is not installed.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable

from cotdistill.records import Answer, Question

__all__ = ["decomposition_quality", "sub_questions_of"]


def sub_questions_of(text: str) -> list[str]:
    """The sub-questions of a solution in Socratic form, its steps on lines of their own or separated by " | "."""
    steps = re.split(r"\n|\s\|\s", text)
    return [
        asked.strip()
        for asked, mark, _ in (step.partition("**") for step in steps)
        if mark and asked.strip()
    ]


def decomposition_quality(answered: Iterable[tuple[Question, Answer]]) -> dict[str, float]:
    """Figures over the questions that have gold sub-questions; empty where none has.

    `sub_questions` and `gold_sub_questions` are means per question, `same_count` the share of questions with as many
    sub-questions as gold, `bleu` in [0, 100].
    """
    own, gold = list[list[str]](), list[list[str]]()
    for question, answer in answered:
        if question.steps and all(step.question for step in question.steps):
            own.append(sub_questions_of(answer.text))
            gold.append([step.question for step in question.steps])
    if not gold:
        return {}
    figures = {
        "sub_questions": sum(map(len, own)) / len(own),
        "gold_sub_questions": sum(map(len, gold)) / len(gold),
        "same_count": sum(len(a) == len(b) for a, b in zip(own, gold, strict=True)) / len(gold),
    }
    if importlib.util.find_spec("sacrebleu") is not None:
        import sacrebleu

        score = sacrebleu.corpus_bleu([" ".join(a) for a in own], [[" ".join(b) for b in gold]])
        figures["bleu"] = float(score.score)
    return figures
