"""STaR: Zelikman et al., "STaR: Bootstrapping Reasoning With Reasoning" (NeurIPS 2022,
arXiv 2203.14465). The student annotates itself.

Round 0 trains on a first set of rationales: the teacher's, gold, or (`source: base`) those of the
untrained student, which must be able to reason a little; the paper prompts it few-shot, here it is
zero-shot CoT. In each later round the student trained last solves the training questions again;
where it fails it is shown the answer and asked to explain it (section 3.3: rationalization), and
the base is trained anew on what reached gold.

The student can use a hint only if it has seen one: with `hint` each rationale is also learnt behind
a prompt that has the answer (the paper hints in a few-shot prompt, which a tuned student no longer
reads). Targets are those of Fine-tune-CoT.

    "Ana has 3 apples and buys 8 more. …⏎Answer: 11" -> "Ana has 3. 3 + 8 = 11. --> 11"
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.methods.fine_tune_cot import FineTuneCot, self_annotations
from cotdistill.records import Example, Question, Rationale


class Star(FineTuneCot):
    """Student that annotates itself, with the answer as a hint if it failed (Zelikman et al.)."""

    iterations: int = Field(default=2, ge=1, description="self-annotation rounds after round 0")
    hint: bool = Field(default=True, description="explain the gold answer where the student failed")
    keep: bool = Field(default=False, description="a question keeps its earlier rationales")

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        return (("student",),) * (1 + self.iterations)

    async def revise(
        self,
        question: Question,
        rationales: Sequence[Rationale],
        ask: Ask,
        answer_type: AnswerType,
        round: int,
    ) -> list[Rationale]:
        limit = self.student_max_tokens
        replies = await ask(question.block, role="student", max_tokens=limit)
        own = self_annotations(question, replies, answer_type)
        failed = not any(answer_type.same(one.answer, question.answer) for one in own)
        if self.hint and failed and question.answer is not None:
            replies = await ask(_hinted(question), role="student", max_tokens=limit)
            own += self_annotations(question, replies, answer_type)
        return [*rationales, *own] if self.keep else own

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        for example in super().examples(question, rationale):
            yield example
            if self.hint:
                yield replace(example, prompt=_hinted(question))


def _hinted(question: Question) -> str:
    """Show the student the answer to explain."""
    return f"{question.block}\nAnswer: {question.gold}"
