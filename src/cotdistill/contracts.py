"""All behaviours on one page.

A plug-in is a frozen object whose fields are its settings; its defaults are the vetted ones. A new
plug-in is one file in the folder of its kind (or a package's entry point) and one test: see
`plugins`. Nothing here imports torch, a client library or any plug-in.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    runtime_checkable,
)

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cotdistill.errors import QuestionFailed
from cotdistill.records import (
    Answer,
    Completion,
    Example,
    Prompt,
    Question,
    Rationale,
    Record,
    Request,
)

if TYPE_CHECKING:
    from torch import Tensor

Split: TypeAlias = Literal["train", "validation", "test", "ood"]


class Plugin(BaseModel):
    """Base of every plug-in: frozen settings, unknown ones refused; a bare name is a valid entry.

    The plug-in's name is its file's name. `cotdistill list` prints the first line of its docstring.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
    )

    @property
    def default_label(self) -> str:
        """Return the name in folders and tables; "" for the plug-in's name with its settings."""
        return ""

    def contents(self) -> Any:
        """Return what shows a change of the files that its results depend on, as JSON-able values.

        None for no files but those that a setting names as a `Path`: a run looks at them itself.
        """
        return None


@dataclass(frozen=True)
class Operational:
    """Marks a setting that cannot change a result: a limit, a time-out, a price.

        timeout_s: Annotated[float, Operational()] = 300.0

    A finished run whose operational settings change is still finished: they are in no fingerprint.
    """


def identity(settings: BaseModel) -> dict[str, Any]:
    """Return the settings that can change a result, defaults included, as JSON-able values."""
    operational = {
        name
        for name, field in type(settings).model_fields.items()
        if any(isinstance(one, Operational) for one in field.metadata)
    }
    return settings.model_dump(mode="json", exclude=operational)


class Ask(Protocol):
    """The only way to a model, teacher or student alike.

    Batching, retries, limits, caching and prices live behind it.
    """

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
        """Return completions `first_sample` to `first_sample + samples - 1` of the prompt, in
        order.

        Every run has the roles "teacher" and "base" (the student before any training); a method's
        own `roles` exist once trained. `prefill` is text the completion must start with; it is part
        of the returned text.

        Raises:
            QuestionFailed: this request failed for good; the question is listed as failed and the
                run continues.
            FatalTeacherError: asking again cannot help.
            BudgetSpent: the recipe's budget is used up.
        """
        ...


class Solve(Protocol):
    """A method's `solve` with its settings and answer type filled in."""

    def __call__(self, question: Question, ask: Ask) -> Awaitable[Answer]: ...


class AnswerType(Plugin):
    """One answer type: how an answer is read out of a text and when two are the same."""

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        """Return the answer `text` concludes with, in canonical form, or NO_ANSWER.

        Never raises, whatever the text. Precedence: after the last of `markers` that occurs; else
        in the last box; else the last candidate.
        """
        raise NotImplementedError

    def same(self, answer: str | None, gold: str | None) -> bool:
        """Return whether two answers in any usual writing are the same.

        NO_ANSWER equals nothing, not even itself.
        """
        raise NotImplementedError

    def gold(self, text: str) -> str | None:
        """Return a gold answer in canonical form; None where `text` is not one answer and no more.

        Gold is not read as a reply is: a worked solution with a number in it is no number.
        """
        plain = len(text) <= 200 and "\n" not in text.strip() and self.same(text, text)
        return self.extract(f"The answer is {text}") if plain else None


class Task(Plugin):
    """One data set: its questions by split and its answer type; nothing else knows a data set."""

    def questions(self, split: Split) -> Iterator[Question]:
        """Yield the questions of a split in a fixed order; none for an absent optional split
        ("ood").

        Raises:
            DataError: malformed data, naming file, line and field.
        """
        raise NotImplementedError

    def stamp(self) -> Any:
        """Return what shows, without reading them, that the questions are the same as before.

        Sizes and times of files, as JSON-able values; None where only reading them shows it.
        """
        return None

    @property
    def answer_type(self) -> AnswerType:
        raise NotImplementedError


class Model(Protocol):
    """Something that completes requests: a teacher, or an engine with a batcher in front."""

    def identity(self) -> Mapping[str, Any]:
        """Return what determines a completion besides the request; never a key.

        Model, endpoint, revision and system prompt, for instance.
        """
        ...

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        """Return one completion per index.

        Sample i of a request does not depend on which others are asked with it.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that one call was charged for; cached ones are part of the prompt's.

    `estimated`: the endpoint reported none, so they were estimated from characters.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; `cached_input` is the price of cached prompt tokens."""

    input: float
    output: float
    cached_input: float | None = None

    def cost(self, usage: Usage) -> float:
        """Return the dollars that a call with this usage costs."""
        cached_price = self.input if self.cached_input is None else self.cached_input
        cached = usage.cached_prompt_tokens
        fresh = (usage.prompt_tokens - cached) * self.input
        return (fresh + cached * cached_price + usage.completion_tokens * self.output) / 1e6


class Places(Protocol):
    """Limits how many requests are under way."""

    async def acquire(self) -> None:
        """Wait for a place."""
        ...

    def release(self, *, answered: bool = False, congested: bool = False) -> None:
        """Free a place, saying whether the reply was an answer or signalled congestion."""
        ...


class Rate(Protocol):
    """Limits how many requests and tokens are sent in a time."""

    async def wait(self, tokens: int) -> None:
        """Wait until one more request of about so many tokens may be sent."""
        ...

    def correct(self, estimated: int, actual: int) -> None:
        """Book the tokens a reply really cost in place of the estimate."""
        ...


class Meter(Protocol):
    """The run's ledger, as a model that is charged for its calls sees it."""

    @property
    def answered_before(self) -> bool:
        """Return whether a model of this identity has answered in this run or an earlier one."""
        ...

    async def reserve(self, most: Usage) -> int:
        """Wait until a call that may use so much fits the run's budget; call before each one.

        Raises:
            BudgetSpent: it never will.
        """
        ...

    def settle(self, reservation: int, usage: Usage | None, seconds: float = 0.0) -> None:
        """Book the usage of the call, None where it was not charged, and how long it took."""
        ...

    def limits(
        self,
        endpoint: str,
        places: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
    ) -> tuple[Places, Rate]:
        """Return what limits the requests to an endpoint, of all processes of the run together."""
        ...

    def count(self, event: str) -> None:
        """Count an event for the run's ledger, such as "requests"."""
        ...

    def note(self, name: str, value: Any) -> None:
        """Keep a small JSON value beside the completions (a batch under way); None removes it."""
        ...

    def notes(self, prefix: str) -> dict[str, Any]:
        """Return the kept values whose names start with `prefix`."""
        ...


@runtime_checkable
class MeteredModel(Protocol):
    """A model whose calls are charged: it knows its price and books each call with a meter.

    The tokens of other models are booked from their completions.
    """

    @property
    def price(self) -> Price | None:
        """Return its price; None where it is not known."""
        ...

    def attach(self, meter: Meter) -> None: ...

    def present(self, completion: Completion) -> Completion:
        """Return a logged completion as methods shall see it (see the teacher's `rationale`)."""
        ...


class Teacher(Plugin):
    """The model that is asked for rationales.

    The plug-in holds settings only; `open` makes the live model, inside the running event loop.
    """

    def open(self) -> Model:
        raise NotImplementedError


class Method(Plugin):
    """One published way to distil.

    It says how the teacher is asked, what the student learns from, and how the student then
    answers.
    """

    roles: ClassVar[tuple[str, ...]] = ("student",)
    """The models it trains with its default settings; () for prompting. `rounds` holds for any
    setting."""

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        """Return the roles trained in each round.

        Before round r ≥ 1 `revise` may ask the roles trained before it.
        """
        return (self.roles,) if self.roles else ()

    @property
    def prompted_role(self) -> str | None:
        """Return the untrained model `solve` asks, "teacher" or "base".

        None for a method that asks roles it trains.
        """
        return None

    @property
    def exemplar_count(self) -> int:
        """Return the number of worked exemplars in its prompts.

        The run draws them from the training split only.
        """
        return 0

    @property
    def exemplar_draw(self) -> int:
        """Return the seed of the draw of exemplars."""
        return 0

    def with_exemplars(self, exemplars: Sequence[Question]) -> Self:
        """Return this method with the exemplars in its prompts: training questions that have a
        rationale."""
        return self

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        """Return candidate rationales of one training question.

        The default needs no teacher: one empty rationale with the gold answer.
        """
        return [Rationale(question.id, "", question.answer, source="none")]

    async def revise(
        self,
        question: Question,
        rationales: Sequence[Rationale],
        ask: Ask,
        answer_type: AnswerType,
        round: int,
    ) -> list[Rationale]:
        """Return the candidates to train round `round` ≥ 1 on; they are filtered again.

        By default the previous ones are kept.
        """
        return list(rationales)

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        """Return training examples of one kept rationale, each with its role.

        Prompts are plain: the student adds its format.
        """
        return ()

    def objective(self, round: int) -> str | dict[str, Any]:
        """Return the recipe entry of what round `round` learns; `train.objective` replaces it."""
        return "cross_entropy"

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        """Answer one question at test time, asking only roles this method trains (or prompts)."""
        raise NotImplementedError

    def measures(self, answered: Iterable[tuple[Question, Answer]]) -> dict[str, float]:
        """Return the method's own figures for the scores, such as the quality of sub-questions.

        By default there are none besides accuracy.
        """
        return {}


class Strategy(Plugin):
    """Decides how a model is asked at test time: wraps `solve` or `ask`, for any method."""

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        """Return one answer; `solve` may be called several times and with another `ask`."""
        return await solve(question, ask)

    @property
    def rules(self) -> tuple[TokenRule, ...]:
        """Return the rules that local engines apply to every completion while they decode it.

        A model behind an endpoint does not see them.
        """
        return ()


class Filter(Plugin):
    """Decides which rationales are kept; streams.

    Every candidate comes out again, with a short reason when it is dropped.
    """

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        raise NotImplementedError


class TokenRule(Protocol):
    """Forced continuation of a completion while it is decoded (a calculator, a form to fill in)."""

    @property
    def ends(self) -> tuple[str, ...]:
        """Return the endings of a text that trigger the rule; () triggers it after every token."""
        ...

    def forced(self, text: str) -> str | None:
        """Return the text that must come next after `text`, or None to let the model continue.

        `text` is the completion so far, `prefill` included. Called after every token the model
        chose and once after a forced text is complete, where the text has one of `ends`.
        """
        ...


class Engine(Protocol):
    """A loaded checkpoint that completes a batch at once. Synchronous; a batcher feeds it."""

    def identity(self) -> Mapping[str, Any]:
        """Return what determines a completion besides the request: checkpoint, number format,
        prompt format."""
        ...

    def generate(
        self, batch: Sequence[tuple[Request, int]]
    ) -> Sequence[Completion | QuestionFailed]:
        """Return one completion per (request, sample index), in order, or why it cannot have one.

        A row's result never depends on its neighbours. An error that stops every row (no memory, no
        chat template) is raised.
        """
        ...


class Decoding(Protocol):
    """Rows under way on one engine; they may be added at any time and finish one by one."""

    @property
    def busy(self) -> bool:
        """Return whether any row is not finished."""
        ...

    def add(self, batch: Sequence[tuple[int, Request, int]]) -> None:
        """Add rows: (the caller's number of the row, request, sample index)."""
        ...

    def drop(self, rows: Collection[int]) -> None:
        """Give up rows that nobody waits for any more; they never finish."""
        ...

    def listen(self, row: int, listener: Callable[[str], None]) -> None:
        """Have the listener called with each piece of a row's text as it is written.

        What is still to be heard when the row finishes is in its completion alone.
        """
        ...

    def step(self) -> Sequence[tuple[int, Completion | QuestionFailed]]:
        """Decode one step and return the rows that finished, by the caller's numbers."""
        ...


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine that lets rows join while others run, and that knows token rules."""

    def decoding(self, rules: Sequence[TokenRule] = ()) -> Decoding:
        """Return a loop without rows; `rules` are applied to every completion.

        It is used for as long as its model is open, and weights do not change meanwhile: it may use
        again what it computed for rows that have left.
        """
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
        """Load a checkpoint folder, GGUF file, hub id or short name.

        `checkpoints.loading.resolve` says what a name stands for.

        Args:
            prompt_end: added after every prompt: the student's own format, as is `target_begin`.
            target_begin: added before every completion; no part of the returned text.
            chat: put plain prompts through the tokenizer's chat template as one user message.
        """
        raise NotImplementedError


class Job(Protocol):
    """One piece of a stage's work: call it to do it.

    It pickles as recipe, stage, key and shard, so that another process or machine that sees the run
    folder can do it. A call does nothing where the work is done already.

    An executor of many processes calls the job's `shares` there, each after `inside`, and then
    `gather` here. Shares of one `place` have one completion log: one process at a time.
    """

    @property
    def stage(self) -> str: ...

    @property
    def key(self) -> str:
        """Return its name, unique among the jobs of its stage."""
        ...

    @property
    def finished(self) -> bool:
        """Return whether a call would do nothing."""
        ...

    @property
    def place(self) -> str:
        """Return the folder that holds its completion log."""
        ...

    @property
    def processes(self) -> int | Literal["auto"]:
        """Return how many processes it starts and waits for: those of a training, else 1."""
        ...

    @property
    def progress(self) -> Any:
        """Return what shows progress to the user (`util.progress.Progress`)."""
        ...

    def __call__(self) -> None: ...

    def shares(self, count: int) -> Sequence[Job]:
        """Return jobs for other processes that do this one between them.

        At most `count`; one where the work is not by question; none where it belongs here.
        """
        ...

    def spending(self) -> tuple[Any, Any]:
        """Return the run's budget and its sums so far: the arguments of a `model.keeper.Keeper`."""
        ...

    def inside(self, worker: str, ask: Callable[..., Awaitable[Any]], progress: Any) -> None:
        """Keep to limits and budget by asking a keeper, and show progress so, from now on."""
        ...

    def gather(self, shares: Sequence[Any]) -> None:
        """Make the job's result of those of its shares, all of which are done.

        Raises:
            UserError, StoreError: one of them is missing or damaged.
        """
        ...


class Executor(Plugin):
    """Decides where the jobs of a stage run."""

    def run(self, jobs: Iterable[Job]) -> None:
        """Do all jobs of one stage, in any order, and return when all are done.

        Raises:
            CotdistillError: whatever a job raises; what other jobs finished is kept.
        """
        raise NotImplementedError

    def check(self, settings: TrainSettings) -> None:
        """Refuse a training that it cannot place, before a teacher is asked.

        Raises:
            UserError: it cannot; the message has the remedy.
        """

    def close(self) -> None:
        """End what was started for the jobs; called once after the last stage."""


@dataclass(frozen=True)
class TargetBatch:
    """The targets of some examples as a model scores them, for an `Objective`.

    Shapes: M examples; N targets, those of one example beside each other; K target tokens of all
    targets in order, padding left out; V vocabulary.
    """

    examples: Sequence[Example]
    """The M examples."""
    weights: Tensor
    """(M,) weight of each example, float32; 0 for an example that only fills a batch up."""
    target_of: Tensor
    """(K,) place among the N targets that each token belongs to."""
    lengths: Tensor
    """(N,) tokens of each target, end token included, float32."""
    tokens: Tensor
    """(K,) token ids."""
    logits: Tensor
    """(K, V) the model's logits of each token, in its own precision."""
    nll: Tensor
    """(K,) negative log-likelihood of each token in nats, float32."""
    reference_nll: Tensor
    """(K,) the same under the reference model; zeros unless `Objective.uses_reference`."""

    def per_target(self, values: Tensor) -> Tensor:
        """Return (N,) sums of a (K,) tensor over the tokens of each target."""
        return values.new_zeros(len(self.lengths)).index_add(0, self.target_of, values)


class Objective(Plugin):
    """The loss of a batch of examples. Its own data travels in `Example.extra`.

    The loss of a training step is `loss` summed over its examples, divided by their `size`.
    """

    uses_reference: ClassVar[bool] = False
    """True where the loss compares with a frozen model: the student as it is before this training.

    A role trained in an earlier round is then trained further instead of anew from the base.
    """

    def targets(self, example: Example) -> tuple[str, ...]:
        """Return the texts to score behind the example's prompt, as many for every example.

        Raises:
            DataError: the example lacks what this objective needs.
        """
        return (example.target,)

    def size(self, lengths: Sequence[int]) -> int:
        """Return an example's share of the divisor, from the token counts of its targets."""
        raise NotImplementedError

    def loss(self, batch: TargetBatch) -> Tensor:
        """Return the sum of the weighted losses of the batch's examples, a scalar."""
        raise NotImplementedError


class TrainSettings(BaseModel):
    """Settings of a training: the recipe's `train`.

    The defaults are those of Fine-tune-CoT (Ho et al. 2023) for pretrained checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    objective: str | dict[str, Any] | None = None
    """Entry of an objective plug-in; by default the method's own."""
    epochs: int = Field(20, ge=1)
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimizer steps, whatever `epochs` says."""
    batch_size: int = Field(8, ge=1)
    """Examples computed at once, over all processes."""
    gradient_accumulation: int = Field(1, ge=1)
    learning_rate: float = Field(3e-4, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = Field(0.0, ge=0)
    """Steps of linear warm-up, or below 1 the share of all steps."""
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    max_prompt_tokens: int = Field(512, ge=1)
    """Examples with a longer prompt are left out and counted: a question is never cut."""
    max_target_tokens: int = Field(512, ge=1)
    """A longer target is cut (and then has no end token) and counted."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16 is mixed precision; auto takes it on accelerators that have it."""
    selection: Literal["accuracy", "loss", "last", "oracle_test"] = "accuracy"
    """The epoch that is kept: by validation accuracy, by the loss on validation examples, or the
    last.

    "oracle_test" selects on the test split, as published tables did; every table names it, and no
    other use is honest.
    """
    share_prompts: bool = True
    """Compute a prompt once for all its targets in the same batch."""
    group_prompts: bool = False
    """Draw the examples of a prompt together. A step then costs less, and holds fewer questions,
    from which small batches learn worse."""
    batch_tokens: int | None = Field(None, ge=1)
    """Compute a batch in pieces of at most so many tokens: less memory, the same steps."""
    gradient_checkpointing: bool = False
    compile: Annotated[bool, Operational()] = False
    """Have torch compile the layers: a step takes less memory and time, the first one longer. It
    needs a C++ compiler."""
    processes: Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], Operational()] = 1
    """Processes that share each batch, started by torchrun on this machine, or by Ray Train where
    the executor is `ray`; auto starts one for each visible accelerator, or GPU of the cluster. A
    training may go on with another number of them."""
    strategy: Annotated[Literal["ddp", "fsdp"], Operational()] = "ddp"
    """Each process holds the whole model (ddp), or its part of weights, gradients and optimizer
    (fsdp), for a model whose training does not fit one accelerator."""
    save_minutes: Annotated[float, Field(gt=0), Operational()] = 10.0
    """Besides each epoch's end, a checkpoint to resume from is written this often."""
    report_to: Annotated[tuple[Literal["tensorboard", "wandb", "trackio"], ...], Operational()] = ()
    """Trackers, one or several: curves while it trains, scores once the run is evaluated."""

    @field_validator("report_to", mode="before")
    @classmethod
    def _one_tracker(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _several_processes(self) -> TrainSettings:
        if self.processes != 1 and self.selection not in ("loss", "last"):
            raise ValueError(
                f"processes: {self.processes}: several processes cannot answer questions between "
                "epochs; set `selection` to loss or last"
            )
        if self.processes != 1 and self.batch_tokens is not None:
            raise ValueError(
                "batch_tokens: processes wait for each other in every piece of a batch; set "
                "`gradient_accumulation` in its place"
            )
        if self.processes != 1 and self.compile:
            raise ValueError(
                "compile: only a training in one process is compiled; leave out `compile` or "
                "`processes`"
            )
        if self.processes == 1 and self.strategy == "fsdp":
            raise ValueError(
                "strategy: fsdp spreads a model over several processes; set `processes` to auto or "
                "their number"
            )
        if self.processes != "auto" and self.processes > self.batch_size:
            raise ValueError(
                f"processes: {self.processes} processes share a batch of {self.batch_size}; "
                "raise `batch_size`"
            )
        return self

    def steps(self, examples: int) -> int:
        """Return how many optimizer steps so many examples take."""
        batches = math.ceil(examples / self.batch_size)
        return self.max_steps or math.ceil(batches / self.gradient_accumulation) * self.epochs


@dataclass(frozen=True)
class TrainResult(Record):
    """Figures of a training; `training.json` beside the checkpoint holds it.

    `epoch` is the one kept. `history` has one entry per epoch ("step", "epoch", and "accuracy" or
    "validation_loss") and the training losses between ("step", "loss").
    """

    epoch: int
    steps: int
    examples: int
    tokens: int = 0
    seconds: float = 0.0
    parameters: int = 0
    trained_parameters: int = 0
    padding: float = 0.0
    left_out: int = 0
    cut: int = 0
    device: str = ""
    out_of_vocabulary: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Trial:
    """Figures of a student that scored a tiny batch. `memory` is what its training holds at least,
    on each accelerator or on a machine without one: bytes of weights, gradients and optimizer,
    activations not counted; `free` is what there is, 0 where that is not known.
    """

    loss: float = 0.0
    parameters: int = 0
    trained_parameters: int = 0
    memory: int = 0
    free: int = 0


@dataclass(frozen=True)
class Pace:
    """Speed of a student in learning and answering on this machine, in seconds.

    A training takes `load` and, for each step, `step` plus `token` for each of its tokens. Answers
    take `load` once and, for each question, `answer` plus `answer_token` for each token written,
    where `rows` are asked at once. `tokens` is tokens per character of its texts; `weights` are the
    bytes of a checkpoint. Of the seconds of a training its `processes` take equal parts.
    `operations` are the products of a token that is learnt from, and of one that is written.
    """

    load: float
    step: float
    token: float
    answer: float
    answer_token: float
    rows: int
    tokens: float
    weights: int
    processes: int
    operations: tuple[float, float]


def silent(*_: Any) -> None:
    """Report nothing: the default of `on_progress` and `log`."""


class Student(Plugin):
    """A model that learns, with its prompt format, in one training framework."""

    @property
    def checkpoint(self) -> str | Path | None:
        """Return the checkpoint it starts from; None for one that has none yet."""
        return None

    def train(
        self,
        examples: Path,
        out: Path,
        *,
        objective: Objective,
        settings: TrainSettings,
        seed: int = 0,
        start: Path | None = None,
        validation: Path | None = None,
        score: Callable[[Engine], float] | None = None,
        on_progress: Callable[[int, str], None] = silent,
        log: Callable[[str], None] = silent,
    ) -> TrainResult:
        """Train on the examples and write the checkpoint of the best epoch to the folder `out`.

        A second call after a kill continues the first one where it stopped.

        Args:
            examples: JSON Lines of `Example` records.
            start: a checkpoint to continue from instead of the student's own.
            validation: examples whose loss selects the epoch where `settings.selection` is "loss".
            score: accuracy of the model in training behind an engine; selects the epoch.
            on_progress: called with a number of optimizer steps and a note of step, epoch and loss.
            log: called with one line for everything the user should know before training starts.

        Raises:
            UserError: model, examples or settings cannot be trained; the message has the remedy.
        """
        raise NotImplementedError

    def trial(self, examples: Sequence[Example], settings: TrainSettings) -> Trial:
        """Load the student and score a few examples, before a teacher is paid for more.

        Raises:
            UserError: it cannot be loaded or trained; the message has the remedy.
        """
        return Trial()

    def pace(
        self, examples: Sequence[Example], settings: TrainSettings, engine: EnginePlugin
    ) -> Pace | None:
        """Measure a few steps and answers on this machine; None where it cannot be told."""
        return None

    def engine(self, checkpoint: Path | None, engine: EnginePlugin, *, seed: int = 0) -> Engine:
        """Load a trained checkpoint, asked in the format it was trained in, into an engine.

        With None it is the student before any training, which is asked with plain prompts.
        """
        raise NotImplementedError

    def preview(self, examples: Sequence[Example], settings: TrainSettings, count: int = 3) -> str:
        """Return the first examples as the student will learn from them, for the terminal."""
        return "\n\n".join(f"{item.prompt}\n  → {item.target}" for item in examples[:count])
