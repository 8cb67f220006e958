"""The four generated tasks by name."""

from __future__ import annotations

from cotdistill.lab import coin_flip, rule_quiz, shuffled_objects, word_problems
from cotdistill.lab.problem import Draw

__all__ = ["DRAWS"]

DRAWS: dict[str, Draw] = {
    "word_problems": word_problems.draw,
    "coin_flip": coin_flip.draw,
    "shuffled_objects": shuffled_objects.draw,
    "rule_quiz": rule_quiz.draw,
}
