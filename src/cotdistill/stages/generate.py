"""Generate: every training question through `method.annotate`, many at a time, none twice.

Reads an iterator of questions of any length and writes `rationales.jsonl`, one line per question in
question order:

    {"question": "sums/train/17", "rationales": [{"question_id": "sums/train/17", …}]}
    {"question": "sums/train/18", "failed": "server error", "message": "HTTP 503: …"}

Completions are kept by the completion log behind `ask`; this file is made of them and is rewritten
whole by a rerun.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.errors import CotdistillError, QuestionFailed, UserError
from cotdistill.recipe import Entry, MethodEntry
from cotdistill.records import Question, Rationale
from cotdistill.runs.models import open_ask
from cotdistill.runs.run import Run
from cotdistill.stages._failures import Failures
from cotdistill.stages._job import Rows, StageJob
from cotdistill.stages._pilot import Pilot, shown_examples
from cotdistill.util.concurrency import run_async
from cotdistill.util.files import whole_file

PROGRESS_S = 0.1
"""Least time between two reports of progress, in seconds: a bar costs more than a question."""

TICK_S = 1.0
"""Seconds after which progress is reported though no question is done."""

CUT_AFTER = 20
"""Rationales after which it is judged whether the length limit suits the teacher."""

GRACE_S = 30.0
"""Seconds for requests under way to finish after the run has to stop; the log keeps them."""


def jobs(run: Run) -> Iterator[StageJob]:
    """Yield one job for each task and method that trains."""
    for task, method in run.trained():
        artifact = run.share(run.generate_artifact(task, method))
        rows = Rows("rationales.jsonl", "question", task, "train")
        yield StageJob(run, generate, (task, method), artifact, rows)


def generate(run: Run, task: Entry, method: MethodEntry) -> None:
    """Ask the teacher for candidate rationales of every training question of a task.

    Raises:
        TeacherError: every question failed.
        UserError: questions have no answer, and a filter keeps nothing without one.
    """
    _refuse_unlabelled(run, task, method)
    artifact = run.share(run.generate_artifact(task, method))
    out = artifact.start() / "rationales.jsonl"
    label = f"{task.label} · {method.label}"
    started, before = time.monotonic(), _teacher_tokens(run)

    async def annotate() -> GenerateCounts:
        with run.progress.task(f"generate {label}", run.share_size(task, "train")) as advance:
            async with open_ask(run) as ask:
                return await generate_rationales(
                    run.share_of(task, "train"),
                    run.method(task, method),
                    ask,
                    task.plugin.answer_type,
                    out,
                    max_concurrency=run.recipe.max_concurrency,
                    on_progress=lambda count: advance(count, run.ledger.line()),
                    pilot=Pilot(label, run.recipe.pilot, run.filters(method)),
                )

    counts = run_async(annotate())
    counts.failures.refuse_all(label, counts.questions)
    tokens, seconds = _teacher_tokens(run) - before, time.monotonic() - started
    artifact.complete({**counts.to_json(), "seconds": seconds, "teacher_tokens": tokens})
    if counts.failures.counts:
        run.progress.log(counts.failures.line(label, counts.questions))


def _teacher_tokens(run: Run) -> int:
    """Tokens of the teacher in this process: what was paid for, and what came from the log."""
    spent = run.ledger.roles.get("teacher")
    return spent.tokens + spent.tokens_from_log if spent is not None else 0


def _refuse_unlabelled(run: Run, task: Entry, method: MethodEntry) -> None:
    """Refuse to pay for rationales that are dropped for want of a gold answer."""
    if any(entry.name == "answer_match" for entry in method.filters):
        bare = sum(question.answer is None for question in run.questions(task, "train"))
        if bare:
            raise UserError(
                f"task {task.label}: {bare} training questions have no answer, and the filter "
                f"answer_match of method {method.label} drops what it cannot compare; "
                "set `filters: [self_consistency, truncated, duplicates]` and `samples` of 4 or "
                "more, or take the questions out"
            )


@dataclass
class GenerateCounts:
    """Questions asked, rationales made, and the questions that failed."""

    questions: int = 0
    rationales: int = 0
    failures: Failures = field(default_factory=Failures)

    def to_json(self) -> dict[str, Any]:
        """Return the counts for the artifact's metadata."""
        counts = {"questions": self.questions, "rationales": self.rationales}
        return {**counts, **self.failures.to_json()}


async def generate_rationales(
    questions: Iterable[Question],
    method: Method,
    ask: Ask,
    answer_type: AnswerType,
    out: Path,
    *,
    max_concurrency: int = 512,
    on_progress: Callable[[int], None] | None = None,
    pilot: Pilot | None = None,
) -> GenerateCounts:
    """Annotate all questions, `max_concurrency` at a time, and write `out` in one step at the end.

    A slow question holds up no other. Memory grows by eight bytes with each question.
    `on_progress` is called with how many more are done, now and then and at the end. With a `pilot`
    its questions are finished, and judged, before the next one is begun.

    Raises:
        PilotError: the first rationales show that the rest is not worth its price.
        FatalTeacherError, BudgetSpent, StoreError: the run has to stop; requests under way were
            let finish and are kept.
    """
    with whole_file(out) as file, tempfile.TemporaryFile() as finished:
        run = _Annotation(method, ask, answer_type, finished, on_progress)
        with _calm_collector():
            await run.through(questions, max_concurrency, pilot)
        run.report()
        for place in run.places:
            finished.seek(place)
            file.buffer.write(finished.readline())
    return run.counts


@contextlib.contextmanager
def _calm_collector() -> Iterator[None]:
    """Run Python's cycle collector less often: it takes a tenth of the time at full speed."""
    before = gc.get_threshold()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Annotation:
    """One pass over the questions by many workers."""

    def __init__(
        self,
        method: Method,
        ask: Ask,
        answer_type: AnswerType,
        rows: IO[bytes],
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._method, self._ask, self._answer_type = method, ask, answer_type
        self._rows, self._on_progress = rows, on_progress
        self._stopped: list[Exception] = []
        self._reported, self._reported_at = 0, 0.0
        self._cut: list[tuple[Question, Rationale]] = []
        self._cuts = 0
        self._pilot: list[tuple[Question, Sequence[Rationale]]] | None = None
        self.counts = GenerateCounts()
        self.places = array("Q")
        """Where each question's row begins in `rows`, which has them as they finish."""

    async def through(
        self, questions: Iterable[Question], max_concurrency: int, pilot: Pilot | None
    ) -> None:
        """Annotate the pilot's questions, if there is a rest to be saved, and then the others."""
        source = iter(questions)
        first = list(itertools.islice(source, pilot.size + 1)) if pilot and pilot.size else []
        if pilot is not None and len(first) > pilot.size > 0:
            self._pilot = []
            await self._pass(iter(first[:-1]), min(max_concurrency, pilot.size))
            pilot.judge(self._pilot, self._answer_type)
            first, self._pilot = first[-1:], None
        await self._pass(itertools.chain(first, source), max_concurrency)

    async def _pass(self, source: Iterator[Question], max_concurrency: int) -> None:
        """Let workers take the questions in turn; after an error the last requests finish."""
        workers = [asyncio.create_task(self._work(source)) for _ in range(max_concurrency)]
        ticks = asyncio.create_task(self._tick())
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            # A limit that cuts the replies cuts those under way as well: they are not waited for.
            useless = any(isinstance(error, TooManyCutError) for error in self._stopped)
            await asyncio.wait(workers, timeout=0 if useless else GRACE_S)
        finally:
            for one in (*workers, ticks):
                one.cancel()
            await asyncio.gather(*workers, ticks, return_exceptions=True)
        if self._stopped:
            own = (error for error in self._stopped if not isinstance(error, CotdistillError))
            raise next(own, self._stopped[0])

    async def _tick(self) -> None:
        """Report at once and every second, also while no question is done yet."""
        while True:
            self.report()
            await asyncio.sleep(TICK_S)

    async def _work(self, source: Iterator[Question]) -> None:
        try:
            for question in source:
                self.places.append(0)
                await self._annotate(len(self.places) - 1, question)
                if self._stopped:
                    return
                # Where all is in the log nothing else lets others (Ctrl-C) have their turn.
                if self.counts.questions % 64 == 0:
                    await asyncio.sleep(0)
        except Exception as error:
            self._stopped.append(error)
            raise

    async def _annotate(self, position: int, question: Question) -> None:
        row: dict[str, Any] = {"question": question.id}
        try:
            rationales = await self._method.annotate(question, self._ask, self._answer_type)
        except QuestionFailed as error:
            row |= {"failed": error.reason, "message": str(error)}
            self.counts.failures.add(error)
        else:
            row["rationales"] = rationales
            self.counts.rationales += len(rationales)
            if self._pilot is not None:
                self._pilot.append((question, rationales))
            cut = [(question, one) for one in rationales if one.extra.get("truncated")]
            self._cuts += len(cut)
            self._cut = (self._cut + cut)[:3]
            refuse_many_cuts(self._cuts, self.counts.rationales, self._cut)
        self.places[position] = self._rows.tell()
        self._rows.write(_line(row))
        self.counts.questions += 1
        if time.monotonic() - self._reported_at >= PROGRESS_S:
            self.report()

    def report(self) -> None:
        """Say how many more are done."""
        if self._on_progress is not None:
            self._on_progress(self.counts.questions - self._reported)
        self._reported, self._reported_at = self.counts.questions, time.monotonic()


class TooManyCutError(UserError):
    """The length limit cuts most rationales."""


def refuse_many_cuts(
    cut: int, rationales: int, examples: Sequence[tuple[Question, Rationale]] = ()
) -> None:
    """Stop early where most of what is paid for is cut off and will be dropped.

    Raises:
        TooManyCutError: half of the first rationales, or more, were cut.
    """
    if rationales >= CUT_AFTER and cut >= rationales / 2:
        raise TooManyCutError(
            f"{cut} of the first {rationales} rationales were cut off at `max_tokens`; raise it in"
            " the method's settings and run again (what was answered whole is asked anew)"
            + shown_examples(examples)
        )


def _line(row: dict[str, Any]) -> bytes:
    """Return a row as a line of JSON: UTF-8, a record's fields in the order of its definition."""
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair, or a number or key that only Python's JSON writes
        return json.dumps(row, separators=(",", ":"), default=Rationale.to_json).encode() + b"\n"
