"""Fine-tune-CoT: Ho, Schmid, Yun, "Large Language Models Are Reasoning Teachers" (ACL 2023,
arXiv 2212.10071).

The teacher is asked by zero-shot CoT in two calls (section 3, step 1); a rationale is kept where
the second call's answer is gold (step 2: the filter `answer_match`); the student learns
`{rationale} --> {gold}` (step 3). With `samples` above one this is diverse reasoning (section 3.2):
several distinct rationales a question, at temperature 0.7.

    GPT-3 curie (6.7B), MultiArith: 33.33, with diverse reasoning (D = 64) 53.33

    Q: Ana has 3 apples and buys 8 more. How many has she?
    A: Let's think step by step. Ana has 3 apples. She buys 8 more, so 3 + 8 = 11.
    Therefore, the answer is 11.

Ours beyond the paper: other sources (`gold`, or the untrained student, `base`), and `distinct: k`,
which stops a question's draws at k distinct rationales that reach gold.
"""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from cotdistill.contracts import AnswerType, Ask
from cotdistill.prompting.base import (
    ANSWER_TRIGGER,
    CONCLUSIONS,
    STUDENT_MARKER,
    SingleStudent,
    continued,
    gather_partial,
    gold_rationale,
    rationale_of,
    read_rationale,
    sampling_temperature,
    single,
    without_conclusion,
)
from cotdistill.records import Completion, Question, Rationale


def first_call(question: Question) -> str:
    """Ask for a rationale (zero-shot CoT, Kojima et al. 2022)."""
    return f"Q: {question.block}\nA: Let's think step by step."


def second_call(prompt: str, reply: str) -> str:
    """Ask for the answer that the reply to the first call leads to."""
    return f"{continued(prompt, reply)}\n{ANSWER_TRIGGER}"


class FineTuneCot(SingleStudent):
    """Student tuned on the teacher's zero-shot rationales, one or D a question (Ho et al. 2023)."""

    source: Literal["teacher", "base", "gold"] = Field(
        default="teacher", description="who wrote the rationales"
    )
    samples: int = Field(default=1, ge=1, description="rationales asked per question (D)")
    distinct: int = Field(
        default=0, ge=0, description="stop at so many distinct ones that reach gold; 0: never"
    )
    temperature: float | None = Field(
        default=None, ge=0, description="default: greedy for one sample, 0.7 for more"
    )
    max_tokens: int = Field(default=128, ge=1, description="length limit of a teacher's rationale")
    answer_call: bool = Field(
        default=True, description="second call for the answer; else read it out of the rationale"
    )
    answer_max_tokens: int = Field(
        default=32, ge=1, description="length limit of the second call's reply"
    )

    @model_validator(mode="after")
    def _room_to_ask(self) -> Self:
        if self.distinct > self.samples:
            more = f"distinct ({self.distinct}) is above samples ({self.samples})"
            raise ValueError(f"{more}; raise samples, the most to draw")
        return self

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        if self.source == "gold":
            return [gold_rationale(question)]
        drawn, missing, first = list[Rationale](), self.distinct or self.samples, 0
        while missing > 0 and first < self.samples:
            count = min(missing, self.samples - first)
            drawn += await self._draw(question, ask, answer_type, first, count)
            first += count
            right = [r for r in drawn if answer_type.same(r.answer, question.answer)]
            missing = self.distinct - len({" ".join(r.text.split()) for r in right})
        return drawn

    async def _draw(
        self, question: Question, ask: Ask, answer_type: AnswerType, first: int, count: int
    ) -> list[Rationale]:
        """Draw rationales number `first` to `first + count - 1`, each concluded greedily."""
        prompt = first_call(question)
        replies = await ask(
            prompt,
            role=self.source,
            samples=count,
            first_sample=first,
            temperature=sampling_temperature(self.samples, self.temperature),
            max_tokens=self.max_tokens,
        )

        async def concluded(reply: Completion) -> Rationale:
            options = question.options
            text = without_conclusion(reply.rationale)
            # A bare reply beside reasoning is the answer call's already.
            if not self.answer_call or reply.is_bare:
                answer = answer_type.extract(reply.text, options=options, markers=CONCLUSIONS)
                return rationale_of(question, text, answer, reply)
            second = await single(
                ask,
                second_call(prompt, reply.text),
                role=self.source,
                max_tokens=self.answer_max_tokens,
            )
            said = f"{ANSWER_TRIGGER} {second.text}"
            answer = answer_type.extract(said, options=options, markers=(ANSWER_TRIGGER,))
            return rationale_of(question, without_conclusion(reply.text), answer, reply, second)

        made = await gather_partial(map(concluded, replies))
        return [one for one in made if isinstance(one, Rationale)]


def self_annotations(
    question: Question, replies: Sequence[Completion], answer_type: AnswerType
) -> list[Rationale]:
    """Read what a student of this method wrote: `{rationale} --> {answer}`."""
    return [
        read_rationale(question, reply, answer_type, STUDENT_MARKER, source="student")
        for reply in replies
    ]
