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
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cotdistill.answers.choice import Choice
from cotdistill.contracts import Ask
from cotdistill.errors import BudgetSpent, QuestionFailed, TeacherError
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.client import ModelClient
from cotdistill.records import NO_ANSWER, Answer, Completion, Prompt, Question
from cotdistill.runs.models import open_ask, trained_roles
from cotdistill.runs.run import Run, open_run
from cotdistill.serving.asks import Asks, CutShort, Sampling
from cotdistill.serving.choosing import Contender, choose
from cotdistill.serving.escalation import Escalation, signal
from cotdistill.serving.measured import escalation
from cotdistill.stages.infer import answer_one
from cotdistill.strategies.greedy import Greedy
from cotdistill.text.options import split_options
from cotdistill.util.concurrency import LoopThread

_PAID = ("teacher", "guide")


@dataclass(frozen=True)
class Reply:
    """One answer with what a caller may want to know of it.

    `finish_reason` is "length" where a limit of tokens ended a text before it had an answer.
    `completions` are all that were asked for, with their roles. Of a system that escalates,
    `confidence` is the student's, `escalated` says whether the teacher's answer is returned, and
    `failure` why it could not be had, where the student's is returned instead.
    """

    answer: Answer
    completions: tuple[tuple[str, Completion], ...] = ()
    finish_reason: str = "stop"
    confidence: float | None = None
    escalated: bool = False
    failure: str = ""

    @property
    def teacher_tokens(self) -> int:
        """Tokens that the teacher read and wrote."""
        asked = (one for role, one in self.completions if role in _PAID)
        return sum(one.prompt_tokens + one.completion_tokens for one in asked)

    def to_json(self) -> dict[str, Any]:
        """Return what stands beside the answer, reasoning and tokens."""
        told = {"answered": self.answer.answer is not NO_ANSWER, "votes": list(self.answer.votes)}
        if self.confidence is None:
            return told
        more = {"confidence": self.confidence, "escalated": self.escalated}
        return {**told, **more, "failure": self.failure}


def load_system(
    folder: str | Path,
    *,
    task: str | None = None,
    method: str | None = None,
    student: str | None = None,
    strategy: str | None = None,
    seed: int | None = None,
    below: float | None = None,
    accuracy: float | None = None,
) -> "System":
    """Load a system of a run; of several that fit the labels, the best on validation.

    With a probability `below` or a wanted `accuracy` it asks the run's teacher where the student is
    less sure of its answer: see `measured`.

    Raises:
        UserError: no run, no such system, not trained, several and none known to be best, or
            escalation that was not measured.
    """
    run = open_run(folder)
    wanted: dict[str, str | int | None] = {"task": task, "method": method, "student": student}
    chosen = choose(run, **wanted, strategy=strategy, seed=seed)
    return System(run, chosen, escalation(run, chosen, below=below, accuracy=accuracy))


class System:
    """A loaded system: `answer` from anywhere, `reply` in an event loop; close it when done.

    Raises:
        UserError: the run's model is not there, or not of this recipe.
    """

    def __init__(self, run: Run, chosen: Contender, rule: Escalation | None = None) -> None:
        self.run, self.chosen, self.rule = run, chosen, rule
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

    def warm_up(self) -> None:
        """Let the students answer once: what every question would fail with shows before any.

        Raises:
            UserError: method or strategy needs what no asked question has, such as a gold solution.
        """
        question, asks = Question("warm-up", "1 + 1?"), Asks(self._ask)
        strategy, answer_type = (
            self.chosen.strategy.plugin,
            self.chosen.cell.task.plugin.answer_type,
        )
        with suppress(QuestionFailed):
            work = answer_one(question, self._method, strategy, asks, answer_type)
            self._loop.submit(work).result()

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
            cut = Answer(question.id, NO_ANSWER, asks.text)
            return Reply(cut, tuple(asks.completions), "length")
        if self.rule is not None:
            return await self._escalated(self.rule, question, answer, asks)
        return Reply(answer, tuple(asks.completions), _finish_reason(answer))

    async def _escalated(
        self, rule: Escalation, question: Question, own: Answer, asks: Asks
    ) -> Reply:
        """Return the student's answer where it is sure enough, else the teacher's."""
        answer_type = self.chosen.cell.task.plugin.answer_type
        confidence = rule.calibration.confidence(signal(own, asks.completions, answer_type))
        answer, failure = own, ""
        if confidence < rule.below:
            asks = replace(asks, sampling=Sampling())  # the caller's wishes are the student's
            try:
                answer = await answer_one(question, rule.method, Greedy(), asks, answer_type)
            except (TeacherError, BudgetSpent) as error:
                failure = str(error)
        made, end = tuple(asks.completions), _finish_reason(answer)
        return Reply(answer, made, end, confidence, answer is not own, failure)

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
            plugin, engine = self.chosen.cell.student.plugin, self.run.engine.plugin
            self._models[role] = BatchedModel(plugin.engine(None, engine))
            self._students.add(role, self._models[role])
        return self._students

    async def _paid_ask(self) -> Ask:
        if self._paid is None:
            self._paid = await self._open.enter_async_context(open_ask(self.run))
        return self._paid


def _finish_reason(answer: Answer) -> str:
    cut = answer.answer is NO_ANSWER and any(one.get("truncated") for one in answer.trace)
    return "length" if cut else "stop"


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
