"""The asks of a method, with prompts, limits and stop strings, found by letting it ask.

A question of placeholders goes through the method's own `solve`, and every ask is noted down and
answered with a placeholder. So a card shows the very prompts of any method, ours or another's.

    [("student", Request("QUESTION", max_tokens=256))]
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cotdistill.contracts import AnswerType, Method
from cotdistill.records import Completion, Prompt, Question, Request, Step

Asked = Sequence[tuple[str, Request]]
"""Role and request of every ask for one question, in order."""


def placeholder(question: Question) -> Question:
    """Return a question in the form of `question`, of placeholders: no data leaves with a model."""
    options = tuple(f"OPTION {place}" for place in range(1, len(question.options) + 1))
    context = "CONTEXT" if question.context else ""
    steps = (Step("SUB-QUESTION", "SOLUTION", question.answer or "ANSWER"),)
    return Question("example", "QUESTION", question.answer, options, context, steps=steps)


async def asks(method: Method, question: Question, answer_type: AnswerType) -> Asked:
    """Return the asks with which a method answers a question."""
    asked = list[tuple[str, Request]]()

    async def ask(
        prompt: Prompt,
        *,
        role: str = "teacher",
        samples: int = 1,
        first_sample: int = 0,
        **settings: Any,
    ) -> list[Completion]:
        asked.append((role, replace(Request(prompt), **settings)))
        return [Completion(f"REPLY OF {role}", sample) for sample in range(samples)]

    await method.solve(question, ask, answer_type)
    return asked
