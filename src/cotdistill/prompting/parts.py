"""The parts that several methods' prompts share: how a question, its options and exemplars are written.

A method's own prompts stand in the method's file. Everything here is exact text: it is part of the fingerprint of
every completion, so a change of one space asks a teacher everything anew.

    Q: Ana has 3 apples and buys 8 more. How many has she?
    A: Let's think step by step.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from cotdistill.records import Question

__all__ = [
    "ANSWER_SENTENCE",
    "ANSWER_TRIGGER",
    "CONCLUSIONS",
    "CONTINUE_HERE",
    "STUDENT_MARKER",
    "answer_call",
    "answer_text",
    "continued",
    "cot_exemplar",
    "cot_query",
    "direct_exemplar",
    "direct_query",
    "exemplar_prompt",
    "hint_exemplar",
    "hint_query",
    "next_step_prompt",
    "option_letters",
    "options_line",
    "question_block",
    "student_target",
    "zero_shot_cot_prompt",
]

ANSWER_SENTENCE = "The answer is"
"""What a rationale's last sentence starts with in few-shot prompts; also a marker for extraction."""

ANSWER_TRIGGER = "Therefore, the answer is"
"""What the second call of zero-shot CoT ends with (Kojima et al. 2022); also a marker for extraction."""

STUDENT_MARKER = "-->"
"""What stands between rationale and answer in a student's target (Fine-tune-CoT); also a marker for extraction."""

CONCLUSIONS = (STUDENT_MARKER, "####", ANSWER_SENTENCE, ANSWER_TRIGGER)
"""Every marker a conclusion is written with here: for texts whose writer is not known."""

CONTINUE_HERE = ("\nQ:", "\nQuestion:")
"""Where a model that was not taught to end goes on with a question of its own: stop strings of few-shot prompts."""


def option_letters(count: int) -> str:
    """The letters of `count` options, "ABC" for 3."""
    return string.ascii_uppercase[:count]


def options_line(options: Sequence[str]) -> str:
    """The options on one line: "Options: (A) red (B) blue"."""
    letters = option_letters(len(options))
    return "Options: " + " ".join(
        f"({letter}) {option}" for letter, option in zip(letters, options, strict=True)
    )


def question_block(question: Question) -> str:
    """The question as every prompt shows it: text, then a line for its context and one for its options, where it has them."""
    lines = [question.text]
    if question.context:
        lines.append(f"Context: {question.context}")
    if question.options:
        lines.append(options_line(question.options))
    return "\n".join(lines)


def answer_text(question: Question) -> str:
    """The gold answer as prompts and targets write it: an option's letter in parentheses, anything else as it is."""
    if question.answer is None:
        raise ValueError(f"question {question.id} has no gold answer")
    return f"({question.answer})" if question.options else question.answer


def exemplar_prompt(exemplars: Sequence[str], query: str) -> str:
    """Few-shot prompt: worked exemplars, then the query, a blank line between any two."""
    return "\n\n".join([*exemplars, query])


def student_target(question: Question, rationale: str = "") -> str:
    """What a student learns to write (Ho et al. 2023): the rationale, a marker and gold; or gold alone."""
    gold = answer_text(question)
    return f"{rationale} {STUDENT_MARKER} {gold}" if rationale else gold


def zero_shot_cot_prompt(question: Question) -> str:
    """First call of zero-shot CoT (Kojima et al. 2022, section 3)."""
    return f"Q: {question_block(question)}\nA: Let's think step by step."


def answer_call(prompt: str, reply: str) -> str:
    """Second call of zero-shot CoT: the first call, its reply, and the trigger of the answer."""
    return f"{continued(prompt, reply)}\n{ANSWER_TRIGGER}"


def continued(prompt: str, reply: str) -> str:
    """A prompt with its reply behind it, exactly one space between where the reply brings no white space of its own."""
    return prompt + reply if not reply or reply[0].isspace() else f"{prompt} {reply}"


def cot_query(question: Question) -> str:
    """The query of few-shot CoT (Wei et al. 2022)."""
    return f"Q: {question_block(question)}\nA:"


def cot_exemplar(question: Question) -> str:
    """A worked exemplar of few-shot CoT: its rationale ends with the answer sentence."""
    return f"{cot_query(question)} {question.rationale} {ANSWER_SENTENCE} {answer_text(question)}."


def hint_query(question: Question) -> str:
    """The query of few-shot CoT with gold before the rationale (Magister et al. 2023, section 3)."""
    return f"Q: {question_block(question)}\nAnswer: {answer_text(question)}\nA:"


def hint_exemplar(question: Question) -> str:
    """A worked exemplar whose rationale is written for the answer that stands before it."""
    return f"{hint_query(question)} {question.rationale} {ANSWER_SENTENCE} {answer_text(question)}."


def direct_query(question: Question) -> str:
    """The query that asks for the answer alone."""
    return f"{cot_query(question)} {ANSWER_SENTENCE}"


def direct_exemplar(question: Question) -> str:
    """An exemplar without a rationale."""
    return f"{direct_query(question)} {answer_text(question)}."


def next_step_prompt(question: Question, steps: Sequence[str]) -> str:
    """Asks a guide for the next step of a solution that has begun (First-step guidance, Jain et al. 2023)."""
    return f"Q: {question_block(question)}\nSteps so far: {' '.join(steps) or 'none'}\nNext step:"
