"""Zero-shot prompting: the question and "The answer is", for any model; nothing is trained.

Q: Ana has 3 apples and buys 8 more. How many has she?
A: The answer is
"""

from cotdistill.contracts import AnswerType, Ask
from cotdistill.prompting.base import ANSWER_SENTENCE, PromptedMethod, Transcript
from cotdistill.records import Answer, Question


class ZeroShot(PromptedMethod):
    """Prompting baseline: the model is asked for the answer at once."""

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask, answer_type)
        prompt = f"Q: {question.block}\nA: {ANSWER_SENTENCE}"
        return await self.concluded(prompt, transcript, ANSWER_SENTENCE)
