"""The Socratic form of a solution, shared by both variants of Socratic CoT (Shridhar et al. 2023).

GSM8K's official Socratic data has it: a line a step, the answer last.

    How many apples does Ana buy? ** She buys 8 apples.
    How many has she then? ** She has 3 + 8 = <<3+8=11>>11 apples.
    #### 11
"""

import importlib.util
import re
from collections.abc import Iterable

from cotdistill.contracts import AnswerType
from cotdistill.prompting.base import required
from cotdistill.records import Answer, Question, Step

SOCRATIC_END = "####"
"""Begins the last line."""

# Steps stand on lines of their own or, as `socratic_unified` writes them, between bars.
_STEP_END = re.compile(r"\n| \| ")


def pair(step: Step) -> str:
    """Write a step."""
    return f"{step.question} ** {step.solution}"


def read_steps(text: str, question: Question, answer_type: AnswerType) -> tuple[Step, ...]:
    """Read the steps of a text; lines of another form are passed over.

    A sub-answer is what the solution concludes with, or its last word where that is no answer of
    the task's type ("The coin is tails.").
    """
    steps = []
    for line in text.split(SOCRATIC_END)[0].splitlines():
        asked, mark, solution = (part.strip() for part in line.partition("**"))
        if mark and asked and solution:
            result = answer_type.extract(solution.rpartition("=")[2], options=question.options)
            steps.append(Step(asked, solution, result or solution.split()[-1].rstrip(".")))
    return tuple(steps)


def gold_sub_questions(question: Question, answer_type: AnswerType) -> tuple[Step, ...]:
    """Return the question's own steps, or those of a gold rationale in Socratic form.

    Raises:
        DataError: it has neither.
    """
    steps = question.steps if all(step.question for step in question.steps) else ()
    steps = steps or read_steps(question.rationale, question, answer_type)
    remedy = "steps, or rationales with a line `sub-question ** solution` for each step"
    return required(steps, question, f"gold sub-questions; Socratic CoT from gold needs {remedy}")


def decomposition_quality(answered: Iterable[tuple[Question, Answer]]) -> dict[str, float]:
    """Compare sub-questions with gold ones (section 5); return nothing where no question has gold.

    `sub_questions` and `gold_sub_questions` are means per question, `same_count` the share of
    questions with as many as gold, `bleu` sacrebleu's corpus BLEU in [0, 100] over whole
    decompositions, left out where the extra `bleu` is not installed.
    """
    own, gold = list[list[str]](), list[list[str]]()
    for question, answer in answered:
        if question.steps and all(step.question for step in question.steps):
            turns = [step.partition("**") for step in _STEP_END.split(answer.text)]
            own.append([asked.strip() for asked, mark, _ in turns if mark and asked.strip()])
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
