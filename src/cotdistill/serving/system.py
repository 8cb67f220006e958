"""A distilled system in memory: the student or students of a run with their method and strategy.

    with load_system("runs/demo", method="Fine-tune-CoT D=8", task="word_problems") as system:
        print(system.answer("Ana has 3 apples and buys 8 more. How many has she?").answer)

It answers by the code that the stage infer runs, with the same engine and prompts; what is asked at
the same moment, from any thread or event loop, shares a batch. Students are loaded once and cost
nothing; a teacher or guide that method or strategy asks is opened when it is first asked, and its
tokens are booked with the run's ledger and budget.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cotdistill.answers.choice import Choice
from cotdistill.contracts import Ask
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.client import ModelClient
from cotdistill.records import NO_ANSWER, Answer, Completion, Prompt, Question
from cotdistill.runs.models import open_ask, trained_roles
from cotdistill.runs.run import Run
from cotdistill.serving.asks import Asks, CutShort, Sampling
from cotdistill.serving.choosing import Contender, choose, open_run
from cotdistill.stages.infer import answer_one
from cotdistill.text.options import split_options
from cotdistill.util.concurrency import LoopThread

_PAID = ("teacher", "guide")


@dataclass(frozen=True)
class Reply:
    """One answer with what a caller may want to know of it.

    `finish_reason` is "length" where a limit of tokens ended a text before it had an answer.
    """

    answer: Answer
    completions: tuple[tuple[str, Completion], ...] = ()
    finish_reason: str = "stop"


def load_system(
    folder: str | Path,
    *,
    task: str | None = None,
    method: str | None = None,
    student: str | None = None,
    strategy: str | None = None,
    seed: int | None = None,
) -> "System":
    """Load a system of a run; of several that fit the labels, the best on validation.

    Raises:
        UserError: no run, no such system, not trained, or several and none known to be best.
    """
    run = open_run(folder)
    wanted: dict[str, str | int | None] = {"task": task, "method": method, "student": student}
    return System(run, choose(run, **wanted, strategy=strategy, seed=seed))


class System:
    """A loaded system: `answer` from anywhere, `reply` in an event loop; close it when done.

    Raises:
        UserError: the run's model is not there, or not of this recipe.
    """

    def __init__(self, run: Run, chosen: Contender) -> None:
        self.run, self.chosen = run, chosen
        cell = chosen.cell
        trained = run.train_artifact(cell)
        paths = trained.require("train")["checkpoints"] if cell.method.plugin.rounds else {}
        checkpoints = {role: trained.folder / path for role, path in paths.items()}
        self._method = run.method(cell.task, cell.method)
        rules = chosen.strategy.plugin.rules
        self._models = trained_roles(run, cell.student, checkpoints, rules)
        self._loop, self._open = LoopThread("cotdistill-system"), AsyncExitStack()
        self._students: ModelClient | None = None
        self._paid: Ask | None = None
        self._opening = asyncio.Lock()

    def answer(self, question: str | Question) -> Answer:
        """Answer one question.

        Raises:
            QuestionFailed: a request of it failed for good: the prompt is too long, for instance.
        """
        return self.answers([question])[0]

    def answers(self, questions: Sequence[str | Question]) -> list[Answer]:
        """Answer several questions in shared batches; of several failures the first is raised."""
        waiting = [self._loop.submit(self._reply(one, Sampling(), None)) for one in questions]
        return [one.result().answer for one in waiting]

    async def reply(
        self,
        question: str | Question,
        sampling: Sampling = Sampling(),  # noqa: B008  frozen
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:
        """Answer one question from any event loop; cancelling it takes it out of its batch.

        Args:
            on_text: called with each piece of text as it is written, in this system's own thread.

        Raises:
            QuestionFailed: a request of it failed for good.
            Unsupported: this system cannot do what `sampling` asks for.
        """
        return await asyncio.wrap_future(
            self._loop.submit(self._reply(question, sampling, on_text))
        )

    def close(self) -> None:
        """Let go of the models; what is under way is cancelled."""
        self._loop.submit(self._open.aclose()).result()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _reply(
        self, question: str | Question, sampling: Sampling, on_text: Callable[[str], None] | None
    ) -> Reply:
        cell = self.chosen.cell
        answer_type = cell.task.plugin.answer_type
        if isinstance(question, str):
            question = question_of(question, choice=isinstance(answer_type, Choice))
        asks = Asks(self._ask, sampling, on_text)
        strategy = self.chosen.strategy.plugin
        try:
            answer = await answer_one(question, self._method, strategy, asks, answer_type)
        except CutShort:
            return Reply(
                Answer(question.id, NO_ANSWER, asks.text), tuple(asks.completions), "length"
            )
        cut = answer.answer is NO_ANSWER and any(one.get("truncated") for one in answer.trace)
        return Reply(answer, tuple(asks.completions), "length" if cut else "stop")

    async def _ask(
        self, prompt: Prompt, *, role: str = "teacher", **settings: Any
    ) -> list[Completion]:
        async with self._opening:  # one caller opens a model, the others wait for it
            ask = await (self._paid_ask() if role in _PAID else self._free_ask(role))
        return await ask(prompt, role=role, **settings)

    async def _free_ask(self, role: str) -> Ask:
        """Return who answers for students: their tokens are nobody's cost and in no ledger."""
        if self._students is None:
            self._students = await self._open.enter_async_context(ModelClient(self._models))
        if role == "base" and role not in self._models:
            plugin, engine = self.chosen.cell.student.plugin, self.run.recipe.engine.plugin
            self._models[role] = BatchedModel(plugin.engine(None, engine))
            self._students.add(role, self._models[role])
        return self._students

    async def _paid_ask(self) -> Ask:
        if self._paid is None:
            self._paid = await self._open.enter_async_context(open_ask(self.run))
        return self._paid


def question_of(text: str, *, choice: bool = False) -> Question:
    """Return a question from its text, with options and context as the run's prompts write them.

        Which is a colour? \\n Options: (A) red (B) two

    Where the parts would not be written back as the very same text, and the task is no multiple
    choice, the text is the question as it stands.
    """
    asked, options = split_options(text.strip())
    asked, mark, context = asked.partition("\nContext: ")
    found = Question("asked", asked, options=options, context=context.strip() if mark else "")
    return (
        found
        if found.block == text.strip() or (choice and options)
        else Question("asked", text.strip())
    )
