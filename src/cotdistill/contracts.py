"""All behaviours on one page. A plug-in is a frozen object whose fields are its settings; its defaults are vetted.

A new plug-in is one file in the folder of its kind (or a package's entry point) and one test: see `plugins`.
Nothing here imports torch, a client library or any plug-in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, TypeAlias, runtime_checkable

from pydantic import BaseModel, ConfigDict

from cotdistill.errors import QuestionFailed
from cotdistill.records import Answer, Completion, Example, Prompt, Question, Rationale, Request

__all__ = [
    "AnswerType",
    "Ask",
    "Decoding",
    "Engine",
    "EnginePlugin",
    "Executor",
    "Filter",
    "Job",
    "Method",
    "Model",
    "Operational",
    "Plugin",
    "Solve",
    "Split",
    "Strategy",
    "StreamingEngine",
    "Task",
    "Teacher",
    "TokenRule",
]

Split: TypeAlias = Literal["train", "validation", "test", "ood"]


class Plugin(BaseModel):
    """Base of every plug-in: frozen settings, unknown settings refused, a bare name is a valid entry.

    The plug-in's name is its file's name. The first line of its docstring is what `cotdistill list` prints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Operational:
    """Marks a setting that cannot change a result: a limit, a time-out, a price.

        timeout_s: Annotated[float, Operational()] = 300.0

    A finished run whose operational settings change is still finished: they are in no fingerprint.
    """


class Ask(Protocol):
    """The only way to a model, teacher or student alike. Batching, retries, limits, caching and prices live behind it."""

    async def __call__(
        self,
        prompt: Prompt,
        *,
        role: str = "teacher",
        samples: int = 1,
        first_sample: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        prefill: str = "",
    ) -> list[Completion]:
        """Completions `first_sample` to `first_sample + samples - 1` of the prompt, in order.

        Roles every run has: "teacher"; "base" (the student before any training). A method's own `roles` are there
        once trained. `begin` is text the completion must start with; it is part of the returned text.

        Raises:
            QuestionFailed: this request failed for good; the question is listed as failed and the run goes on.
            FatalTeacherError: asking again cannot help.
            BudgetSpent: the recipe's budget is used up.
        """
        ...


class Solve(Protocol):
    """A method's `solve` with its settings and answer kind filled in."""

    def __call__(self, question: Question, ask: Ask) -> Awaitable[Answer]: ...


class AnswerType(Plugin):
    """One kind of answer: how it is read out of a text and when two are the same."""

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        """The answer `text` concludes with, in canonical form, or NO_ANSWER. Never raises on any text.

        Precedence: after the last of `markers` that occurs; else in the last box; else the last candidate.
        """
        raise NotImplementedError

    def same(self, answer: str | None, gold: str | None) -> bool:
        """Whether two answers in any usual writing are the same; NO_ANSWER equals nothing, not even itself."""
        raise NotImplementedError

    def gold(self, text: str) -> str | None:
        """Return a gold answer in canonical form; None where `text` is not one answer and no more.

        Gold is not read as a reply is: a worked solution with a number in it is no number.
        """
        plain = len(text) <= 200 and "\n" not in text.strip() and self.same(text, text)
        return self.extract(f"The answer is {text}") if plain else None


class Task(Plugin):
    """One data set: its questions by split and its kind of answer; nothing else knows a data set."""

    def questions(self, split: Split) -> Iterator[Question]:
        """The questions of a split in a fixed order. An absent optional split ("ood") yields nothing.

        Raises:
            DataError: malformed data, naming file, line and field.
        """
        raise NotImplementedError

    @property
    def answer_type(self) -> AnswerType:
        raise NotImplementedError


class Model(Protocol):
    """Something that completes requests: a teacher, or an engine with a batcher in front."""

    def identity(self) -> Mapping[str, Any]:
        """What determines a completion besides the request (model, endpoint, revision, system prompt); never a key."""
        ...

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        """One completion per index. Sample i of a request does not depend on which others are asked with it."""
        ...

    async def close(self) -> None: ...


class Teacher(Plugin):
    """Who is asked. The plug-in holds settings only; `open` makes the live model, inside the running event loop."""

    def open(self) -> Model:
        raise NotImplementedError


class Method(Plugin):
    """One published way to distil: how the teacher is asked, what the student learns from, how it then answers."""

    roles: ClassVar[tuple[str, ...]] = ("student",)
    """The models it trains with its default settings; () for prompting. `rounds` is the truth for any setting."""

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        """Roles trained in each round. Before round r ≥ 1 `revise` may ask the roles trained before it."""
        return (self.roles,) if self.roles else ()

    @property
    def prompted_role(self) -> str | None:
        """The untrained model `solve` asks: "teacher" or "base"; None for a method that asks roles it trains."""
        return None

    @property
    def exemplar_count(self) -> int:
        """How many worked exemplars its prompts show; the run draws them from the training split only."""
        return 0

    @property
    def exemplar_draw(self) -> int:
        """Seed of the draw of exemplars: another number, other exemplars."""
        return 0

    def with_exemplars(self, exemplars: Sequence[Question]) -> Self:
        """This method with the exemplars (training questions that have a rationale) in its prompts."""
        return self

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        """Candidate rationales of one training question. The default needs no teacher: one empty rationale, gold answer."""
        return [Rationale(question.id, "", question.answer, source="none")]

    async def revise(
        self,
        question: Question,
        rationales: Sequence[Rationale],
        ask: Ask,
        answer_type: AnswerType,
        round: int,
    ) -> list[Rationale]:
        """The candidates to train round `round` ≥ 1 on; they are filtered again. The default keeps those there are."""
        return list(rationales)

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        """Training examples of one kept rationale, each with its role. Prompts are plain: the student adds its format."""
        return ()

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        """Answer one question at test time, asking only roles this method trains (or prompts)."""
        raise NotImplementedError

    def measures(self, answered: Iterable[tuple[Question, Answer]]) -> dict[str, float]:
        """Figures of its own besides accuracy (the quality of sub-questions, say), for the scores. The default has none."""
        return {}


class Strategy(Plugin):
    """How a model is asked at test time: wraps `solve` or `ask`, works on every method."""

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        """One answer, calling `solve` as often and with whatever `ask` the strategy needs."""
        return await solve(question, ask)

    @property
    def rules(self) -> tuple[TokenRule, ...]:
        """What local engines apply to every completion while they decode it; a model elsewhere knows nothing of them."""
        return ()


class Filter(Plugin):
    """What is kept. Streams; every candidate comes out again, with a short reason when it is dropped."""

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        raise NotImplementedError


class TokenRule(Protocol):
    """What must come next in a completion, decided while it is written (a calculator, a form to fill in)."""

    @property
    def ends(self) -> tuple[str, ...]:
        """What a text ends with where the rule may have something to say: engines look nowhere else. () is everywhere."""
        ...

    def forced(self, text: str) -> str | None:
        """Text that must come next after `text` (the completion so far, `begin` included), or None to let the model go on.

        Called after every token the model chose and once after a forced text is complete, where the text has one of `ends`.
        """
        ...


class Engine(Protocol):
    """What answers fast: a loaded checkpoint that completes a batch at once. Synchronous; a batcher feeds it."""

    def identity(self) -> Mapping[str, Any]:
        """What determines a completion besides the request: checkpoint, number format, prompt format."""
        ...

    def generate(
        self, batch: Sequence[tuple[Request, int]]
    ) -> Sequence[Completion | QuestionFailed]:
        """Return one completion per (request, sample index), in order, or why that request cannot have one.

        A row's result never depends on its neighbours. What stops every row (no memory, no chat template) is raised.
        """
        ...


class Decoding(Protocol):
    """Rows under way on one engine; they may be added at any time and finish one by one."""

    @property
    def busy(self) -> bool:
        """Whether any row is not finished."""
        ...

    def add(self, batch: Sequence[tuple[int, Request, int]]) -> None:
        """Add rows: (the caller's number of the row, request, sample index)."""
        ...

    def step(self) -> Sequence[tuple[int, Completion | QuestionFailed]]:
        """Go on for a moment and return what finished, by the caller's numbers."""
        ...


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine that lets rows join while others run, and that knows token rules."""

    def decoding(self, rules: Sequence[TokenRule] = ()) -> Decoding:
        """Return a loop without rows; `rules` are applied to every completion."""
        ...


class EnginePlugin(Plugin):
    """Settings of an engine; `load` reads a checkpoint."""

    def load(
        self,
        checkpoint: str | Path,
        *,
        prompt_end: str = "",
        target_begin: str = "",
        chat: bool = False,
    ) -> Engine:
        """Load a checkpoint folder, GGUF file, hub id or short name (see `checkpoints.loading.resolve`).

        Args:
            prompt_end: added after every prompt: the student's own format, as is `target_begin`.
            target_begin: added before every completion; no part of the returned text.
            chat: put plain prompts through the tokenizer's chat template as one user message.
        """
        raise NotImplementedError


class Job(Protocol):
    """One piece of a stage's work: call it to do it.

    It pickles as recipe, stage and key, so that another process or machine that sees the run folder
    can do it. A call does nothing where the work is done already.
    """

    @property
    def stage(self) -> str: ...

    @property
    def key(self) -> str:
        """What tells it from the other jobs of its stage."""
        ...

    def __call__(self) -> None: ...


class Executor(Plugin):
    """Where the jobs of a stage run."""

    def run(self, jobs: Iterable[Job]) -> None:
        """Do all jobs of one stage, in any order, and return when all are done.

        Raises:
            CotdistillError: whatever a job raises; what other jobs finished is kept.
        """
        raise NotImplementedError
