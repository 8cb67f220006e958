"""Needs of a run before it is run: calls, tokens, money, time and disk, by stage and method.

Sources, each named in what is shown: prices of the recipe or of the price list; lengths and seconds
of replies that the completion log has; a student's own steps and answers, timed on this machine;
else constants that are named. What is finished, and what the log has, costs nothing more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from cotdistill.contracts import MeteredModel, Model, Pace, Price, Split
from cotdistill.model.completion_log import CompletionLog
from cotdistill.recipe import Entry, MethodEntry
from cotdistill.records import Question
from cotdistill.runs.grid import Cell
from cotdistill.runs.plan import Need, PaidRole, Planned, examples_of, plan_work
from cotdistill.runs.rehearsal import RehearsedAsk, rehearse_answer, rehearse_training, roles_of
from cotdistill.runs.run import Run
from cotdistill.teachers.local import LocalTeacher
from cotdistill.teachers.openai import OpenAI

LOOKED_AT = 1_000
"""Questions of a split that are rehearsed, evenly spread; the others count as they do."""
ROW_BYTES = 300
"""Bytes of a row of a file or of the log beside its texts: ids, keys, numbers, names of fields."""
ROUND_TRIPS = 2
"""Calls of a question that wait for one another, where more questions than places are asked."""


@dataclass(frozen=True)
class EstimateRow:
    """One stage of one method (with its task, split and strategy): what is still to be used.

    `money` is None where a price is needed and not known, `seconds` where no speed is known.
    `cached` completions are in the log. `whole` is all as if nothing were there yet.
    """

    stage: str
    name: str
    questions: int
    need: Need
    money: float | None
    seconds: float | None
    bytes: float
    cached: float
    whole: Need
    whole_seconds: float | None
    whole_bytes: float


@dataclass(frozen=True)
class Estimate:
    """The rows, and how each figure was come by."""

    rows: tuple[EstimateRow, ...]
    sources: tuple[str, ...]

    def total(self, name: str) -> float:
        """Return the sum of a column, or of one of `need`; what is not known is left out."""
        return sum(float({**vars(row), **vars(row.need)}[name] or 0.0) for row in self.rows)

    def line(self) -> str:
        """Return one line for the start of a run."""
        there = self.total("cached")
        more = f"; {there:,.0f} are in the log" if there else ""
        completions = self.total("completions")
        if not completions:
            return f"nothing is left to ask{more}"
        tokens = self.total("prompt_tokens") + self.total("reply_tokens")
        unknown = any(row.money is None for row in self.rows if row.need.completions)
        money = "price not known" if unknown else f"${self.total('money'):,.4f}"
        return f"about {completions:,.0f} completions to ask: {tokens:,.0f} tokens, {money}{more}"

    def to_json(self) -> dict[str, Any]:
        """Return rows, totals and sources."""
        names = ("completions", "calls", "prompt_tokens", "reply_tokens")
        totals = {name: self.total(name) for name in (*names, "money", "seconds", "bytes")}
        rows = [asdict(row) for row in self.rows]
        return {"total": totals, "rows": rows, "sources": list(self.sources)}

    def at(self, questions: float) -> dict[str, float]:
        """Return what so many training questions would use: each rate of `generate` and `train`
        times their number; test questions stay as they are."""
        sums = dict.fromkeys((*vars(Need()), "teacher_hours", "student_hours", "bytes"), 0.0)
        for row in self.rows:
            times = questions / row.questions if row.stage != "infer" else 1.0
            for name, value in vars(row.whole).items():
                sums[name] += times * value
            hours = "teacher_hours" if row.stage == "generate" else "student_hours"
            sums[hours] += times * (row.whole_seconds or 0.0) / 3600
            sums["bytes"] += times * row.whole_bytes
        return sums


class Estimator:
    """Rehearses the work of a run that is not done and adds up what it needs.

    Only with `measure` are the students timed and, with `teacher`, a local teacher opened: without
    them nothing of such a teacher counts as logged, and time and checkpoints of students are left
    out. `paces` are the students as they were timed.
    """

    def __init__(
        self,
        run: Run,
        *,
        measure: bool = True,
        teacher: bool = True,
        looked_at: int = LOOKED_AT,
    ) -> None:
        self.run, self._measure, self._looked_at = run, measure, looked_at
        self._teacher = measure and teacher
        self.paces: dict[str, Pace | None] = {}
        self.sources: list[str] = []
        self._roles: dict[str, PaidRole] = {}
        self._planned: dict[tuple[str, str], Planned] = {}

    async def estimate(self) -> Estimate:
        """Return the estimate; nothing is sent and nothing is written."""
        path = self.run.recipe.completions or self.run.folder / "completions.sqlite"
        log = (
            CompletionLog(path, run=self.run.recipe.name, read_only=True) if path.exists() else None
        )
        models: list[Model] = []
        with ExitStack() as stack:
            opened = stack.enter_context(log or CompletionLog())
            try:
                for role, entry in (
                    ("teacher", self.run.recipe.teacher),
                    ("guide", self.run.recipe.guide),
                ):
                    if entry is not None:
                        self._roles[role] = self._paid_role(opened, role, entry, models)
                rows = [row async for row in self._rows()]
            finally:
                for model in models:
                    await model.close()
        return Estimate(tuple(rows), tuple(dict.fromkeys(self.sources)))

    def _paid_role(
        self, log: CompletionLog, role: str, entry: Entry, models: list[Model]
    ) -> PaidRole:
        local = isinstance(entry.plugin, LocalTeacher)
        model: Model | None = None
        if self._teacher or not local:
            model = entry.plugin.open()
            models.append(model)
        hosted = entry.plugin if isinstance(entry.plugin, OpenAI) else None
        per_call = hosted.samples_per_call if hosted and hosted.seed is None else 1
        count = _tokenizer(entry.plugin) if self._teacher and local else None
        paid = PaidRole(log, model, role=role, per_call=per_call, count=count)
        if not isinstance(model, MeteredModel):
            paid.price = Price(0.0, 0.0)  # nobody is paid for a model of one's own
        self.sources += paid.sources()
        return paid

    async def _rows(self) -> AsyncIterator[EstimateRow]:
        for task, method in self.run.trained():
            yield await self._generate(task, method)
        if self._measure:
            self._time_students()
        for cell in self.run.cells():
            planned = [
                (split, strategy, await self._answers(cell, split, strategy))
                for split in self.run.recipe.evaluate_on
                for strategy in self.run.recipe.strategies
            ]
            if cell.method.plugin.rounds:
                yield self._train(cell, planned[0][2])
            for split, strategy, work in planned:
                yield self._infer(cell, split, strategy, work)

    def _time_students(self) -> None:
        """Time every student that is still to be trained, on what its methods would teach it."""
        for cell in self.run.cells():
            label, engine = cell.student.label, self.run.engine.plugin
            if label in self.paces or self._all_done(cell):
                continue
            works = [one for (task, _), one in self._planned.items() if task == cell.task.label]
            examples = [one for work in works for one in itertools.islice(examples_of(work), 64)]
            if not examples:
                continue
            pace = cell.student.plugin.pace(examples, cell.method.train, engine)
            self.paces[label] = pace
            if pace is not None:
                self.sources.append(
                    f"student {label}, timed here: loading {pace.load:.2g} s; a step "
                    f"{pace.step:.2g} s and {pace.token:.2g} s a token; an answer "
                    f"{pace.answer:.2g} s and {pace.answer_token:.2g} s a token"
                )

    def _all_done(self, cell: Cell) -> bool:
        pairs = itertools.product(self.run.recipe.evaluate_on, self.run.recipe.strategies)
        return all(self.run.infer_artifact(cell, *pair).finished for pair in pairs)

    async def _generate(self, task: Entry, entry: MethodEntry) -> EstimateRow:
        run, method, answer_type = self.run, self.run.method(task, entry), task.plugin.answer_type

        async def rehearse(question: Question, ask: RehearsedAsk) -> Any:
            return await rehearse_training(method, question, ask, answer_type)

        questions, total = run.questions(task, "train"), run.digest(task.label, "train")[1]
        known = roles_of(run.recipe, method)
        work = await plan_work(questions, total, rehearse, known, self._roles, self._looked_at)
        self._planned[task.label, entry.label] = work
        done = run.generate_artifact(task, entry).finished
        # Beside the log: candidates, and kept or dropped ones, once each.
        files = 2 * total * ROW_BYTES + (work.need.written + work.cached.written)
        return self._row("generate", f"{task.label} · {entry.label}", work, done, files)

    async def _answers(self, cell: Cell, split: Split, strategy: Entry) -> Planned:
        run, answer_type = self.run, cell.task.plugin.answer_type
        method = run.method(cell.task, cell.method)

        async def rehearse(question: Question, ask: RehearsedAsk) -> Any:
            return await rehearse_answer(method, strategy.plugin, question, ask, answer_type)

        total, known = run.digest(cell.task.label, split)[1], roles_of(run.recipe, method)
        questions = run.questions(cell.task, split)
        return await plan_work(questions, total, rehearse, known, self._roles, self._looked_at)

    def _train(self, cell: Cell, answers: Planned) -> EstimateRow:
        work = self._planned[cell.task.label, cell.method.label]
        name, settings = cell.label, cell.method.train
        pace = self.paces.get(cell.student.label)
        kept, letters = self._kept(cell, work)
        trainings = sum(map(len, cell.method.plugin.rounds))
        file = kept * ROW_BYTES + letters
        row = EstimateRow(
            "train", name, work.questions, Need(), 0.0, None, 0.0, 0.0, Need(), None, file
        )
        if pace is None:
            return row
        steps = trainings * settings.steps(math.ceil(kept / max(1, trainings)))
        share = steps / max(1.0, kept / settings.batch_size / settings.gradient_accumulation)
        tokens = letters * pace.tokens * share  # of all epochs, or of `max_steps`
        seconds = 2 * trainings * pace.load + steps * pace.step + tokens * pace.token
        if settings.selection in ("accuracy", "oracle_test"):
            split = self.run.selection_split(cell.method)
            scored = settings.epochs * self.run.digest(cell.task.label, split)[1]
            seconds += scored / max(1, answers.questions) * _answering(pace, answers.student)
        seconds += _answering(pace, work.student)  # of later rounds
        seconds /= pace.processes
        files = file + trainings * pace.weights
        done = self.run.train_artifact(cell).finished
        left = (0.0, 0.0) if done else (seconds, files)
        return replace(
            row, seconds=left[0], bytes=left[1], whole_seconds=seconds, whole_bytes=files
        )

    def _kept(self, cell: Cell, work: Planned) -> tuple[float, float]:
        """Return how many examples there will be of all roles and rounds, and their characters."""
        share = self._kept_share(cell, work)
        examples = list(examples_of(work))
        times = share * work.questions / max(1, work.looked_at)
        letters = sum(len(one.prompt) + len(one.target) for one in examples)
        return times * len(examples), times * letters

    def _kept_share(self, cell: Cell, work: Planned) -> float:
        name = f"{cell.task.label} · {cell.method.label}"
        curated = self.run.curate_artifact(cell.task, cell.method).metadata
        if curated is not None:
            return float(curated["kept"] / max(1, curated["candidates"]))
        pairs = [
            (question, one)
            for question, result, complete in work.results
            if complete and result is not None
            for one in result[0]
        ]
        asks = work.need.completions + work.cached.completions
        if not pairs:
            if asks:
                self.sources.append(f"{name}: every rationale is taken for kept; none was seen yet")
            return 1.0
        stream = iter(pairs)
        for _, one in self.run.filters(cell.method):
            found = one.apply(stream, cell.task.plugin.answer_type)
            stream = iter([(question, made) for question, made, why in found if why is None])
        kept: float = sum(1 for _ in stream) / len(pairs)
        self.sources.append(f"{name}: {100 * kept:.0f} % of {len(pairs)} rationales seen are kept")
        return kept

    def _infer(self, cell: Cell, split: Split, strategy: Entry, work: Planned) -> EstimateRow:
        done = self.run.infer_artifact(cell, split, strategy).finished
        strategies = f" · {strategy.label}" if len(self.run.recipe.strategies) > 1 else ""
        name = f"{cell.label} · {split}{strategies}"
        files = 2 * work.questions * ROW_BYTES + 2 * (
            (work.need.written + work.cached.written) + work.student.characters
        )
        row = self._row("infer", name, work, done, files)
        pace = self.paces.get(cell.student.label)
        if not work.student.completions:
            return row
        if pace is None:
            return replace(row, seconds=None, whole_seconds=None)
        loads = len({role for roles in cell.method.plugin.rounds for role in roles}) or 1
        own = loads * pace.load + _answering(pace, work.student)
        left = 0.0 if done else (row.seconds or 0.0) + own
        return replace(row, seconds=left, whole_seconds=(row.whole_seconds or 0.0) + own)

    def _row(self, stage: str, name: str, work: Planned, done: bool, files: float) -> EstimateRow:
        """Return the row of work that asks teacher or guide."""
        whole = Need()
        whole.add(work.need)
        whole.add(work.cached)
        need = Need() if done else work.need
        logged = 0.0 if done else work.cached.completions
        size = files + whole.characters + ROW_BYTES * whole.completions
        left = 0.0 if done else files + need.characters + ROW_BYTES * need.completions
        money = None if work.unpriced and need.completions else need.money
        spent, whole_s = (self._teacher_seconds(one, work.questions) for one in (need, whole))
        left_out = (money, spent, left, logged)
        return EstimateRow(stage, name, work.questions, need, *left_out, whole, whole_s, size)

    def _teacher_seconds(self, need: Need, questions: int) -> float | None:
        """Return calls × seconds of one ÷ calls at a time, and no less than the limits allow; of a
        model of one's own, tokens ÷ tokens a second."""
        role, plugin = self._roles["teacher"], self.run.recipe.teacher.plugin
        if not need.completions:
            return 0.0
        if not isinstance(plugin, OpenAI):
            return need.reply_tokens / role.tokens_per_second if role.tokens_per_second else None
        if role.call_seconds is None:
            return None
        at_once = min(self.run.recipe.max_concurrency, questions) * max(
            1.0, need.calls / questions / ROUND_TRIPS
        )
        places = min(plugin.max_concurrency, at_once)
        bounds = [need.calls * role.call_seconds / max(1.0, places)]
        bounds.append(min(ROUND_TRIPS, need.calls) * role.call_seconds)
        if plugin.requests_per_minute:
            bounds.append(60 * need.calls / plugin.requests_per_minute)
        if plugin.tokens_per_minute:
            used = need.prompt_tokens + need.reply_tokens
            bounds.append(60 * used / plugin.tokens_per_minute)
        return max(bounds)


def _answering(pace: Pace, student: Need) -> float:
    """Return the seconds in which a student gives so many answers of so many characters."""
    tokens = student.reply_tokens * pace.tokens
    return student.completions * pace.answer + tokens * pace.answer_token


def _tokenizer(plugin: LocalTeacher) -> Any:
    from cotdistill.checkpoints.loading import load_tokenizer

    tokenizer = load_tokenizer(plugin.model)
    return lambda text: len(tokenizer(text, verbose=False)["input_ids"])
