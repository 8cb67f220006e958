"""The parts that several methods' prompts share: how a question, its options and exemplars are written.

A method's own prompts stand in the method's file. Everything here is exact text: it is part of the fingerprint of
every completion, so a change of one space asks a teacher everything anew.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from cotdistill.records import Question

__all__ = ["ANSWER_SENTENCE", "answer_text", "exemplar_prompt", "option_letters", "options_line", "question_block"]

ANSWER_SENTENCE = "The answer is"
"""What a rationale's last sentence starts with in few-shot prompts; also a marker for extraction."""


def option_letters(count: int) -> str:
    """The letters of `count` options, "ABC" for 3."""
    return string.ascii_uppercase[:count]


def options_line(options: Sequence[str]) -> str:
    """The options on one line: "Options: (A) red (B) blue"."""
    letters = option_letters(len(options))
    return "Options: " + " ".join(f"({letter}) {option}" for letter, option in zip(letters, options, strict=True))


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
