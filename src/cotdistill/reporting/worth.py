"""The fourth question, what is the data worth: rationales kept, dropped and why; curves."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.recipe import Entry, MethodEntry
from cotdistill.reporting.blocks import Browser, Chapter, Chart, Section
from cotdistill.reporting.charts import Panel, Point, Series, histograms, panels
from cotdistill.reporting.scoreboard import Board
from cotdistill.reporting.wording import percent
from cotdistill.runs.run import Run
from cotdistill.util.files import read_json, read_jsonl
from cotdistill.util.terminal import shortened

EXAMPLES = 12
"""Rationales of each reason, and of those kept, that the page shows of a task and method."""


@dataclass
class DataSet:
    """The findings of one pass over the rationales of a task and method."""

    task: Entry
    method: MethodEntry
    folder: Path
    curated: Mapping[str, Any]
    generated: Mapping[str, Any]
    kept_words: Counter[int] = field(default_factory=Counter)
    dropped_words: Counter[int] = field(default_factory=Counter)
    distinct: int = 0
    cut: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.task.label} · {self.method.label}"

    @property
    def reasoned(self) -> bool:
        """True where any rationale has a text (an answer alone has none)."""
        return bool((self.kept_words + self.dropped_words).keys() - {0})


def read_data_sets(run: Run) -> Iterator[DataSet]:
    """Read the curated rationales of every task and method, one file at a time."""
    for task, method in run.trained():
        artifact = run.curate_artifact(task, method)
        if artifact.metadata is not None:
            generated = run.generate_artifact(task, method).metadata or {}
            yield _read(DataSet(task, method, artifact.folder, artifact.metadata, generated))


def _read(found: DataSet) -> DataSet:
    seen: set[int] = set()
    # Examples from all over the file, not its first rows: every so many of those kept.
    step = max(1, found.curated["kept"] // EXAMPLES)
    for place, row in enumerate(read_jsonl(found.folder / "kept.jsonl")):
        text = " ".join(row["text"].split())
        found.kept_words[len(text.split())] += 1
        found.cut += bool(row["extra"].get("truncated"))
        seen.add(hash((row["question_id"], text)))
        if place % step == 0 and place // step < EXAMPLES:
            found.examples.append({"reason": "", **row})
    found.distinct = len(seen)
    shown: Counter[str] = Counter()
    for row in read_jsonl(found.folder / "dropped.jsonl"):
        reason = f"{row['filter']}: {row['reason']}"
        found.dropped_words[len(row["text"].split())] += 1
        found.cut += bool(row["extra"].get("truncated"))
        if shown[reason] < EXAMPLES:
            shown[reason] += 1
            found.examples.append({**row, "reason": reason})
    return found


def so_far(data: Sequence[DataSet], missing: str) -> Chapter:
    """Return the chapter of a run without scores: what is missing, counts and rationales."""
    blocks: list[Section | Browser] = [_counts(data), _variety(data), Browser("rationales")]
    return Chapter("data", "What is the data worth?", [missing, *_kept(data)], blocks)


def chapter(run: Run, boards: Sequence[Board], data: Sequence[DataSet]) -> Chapter:
    """Return the chapter."""
    blocks: list[Section | Chart | Browser] = [_counts(data), _variety(data)]
    reasoned = [one for one in data if one.reasoned]
    if reasoned:
        lengths = {
            one.name: {"kept": one.kept_words, "dropped": one.dropped_words} for one in reasoned
        }
        description = "How long the rationales are, kept and dropped. The table has the medians."
        chart = histograms(lengths, "words of a rationale")
        blocks.append(Chart("Length of the rationales", description, chart))
        blocks.append(Browser("rationales"))
    blocks += [chart for board in boards for chart in _curves(run, board)]
    blocks += [*_sizes(run, boards), _contamination(run)]
    return Chapter("data", "What is the data worth?", list(_sentences(run, data)), blocks)


def _sentences(run: Run, data: Sequence[DataSet]) -> Iterator[str]:
    yield from _kept(data)
    for looks in read_json(run.folder / "contamination.json").values():
        yield from looks["notes"]


def _kept(data: Sequence[DataSet]) -> Iterator[str]:
    for one in data:
        kept, candidates = one.curated["kept"], one.curated["candidates"]
        if one.reasoned and candidates:
            questions = max(one.curated["questions_kept"], 1)
            yield (
                f"{one.name}: {kept:,} of {candidates:,} rationales were kept "
                f"({percent(kept / candidates)} %), {one.distinct / questions:.1f} distinct ones "
                f"for each of {questions:,} questions; {one.cut:,} were cut off at the length "
                "limit."
            )


def _counts(data: Sequence[DataSet]) -> Section:
    lines = []
    for one in data:
        keys = ("questions", "candidates", "kept", "questions_kept")
        numbers = (str(one.curated[key]) for key in keys)
        failed = _reasons(one.curated["failed"], one.generated.get("messages"))
        lines.append(
            (one.task.label, one.method.label, *numbers, _reasons(one.curated["dropped"]), failed)
        )
    header = ("task", "method", "questions", "candidates", "kept", "questions kept")
    why = ("dropped because", "failed because")
    return Section("Rationales kept and dropped", (*header, *why), tuple(lines), prominent=True)


def _reasons(counts: Mapping[str, int], words: Mapping[str, str] | None = None) -> str:
    said = words or {}
    lines = (
        f"{reason} {count}" + (f" ({shortened(said[reason])})" if reason in said else "")
        for reason, count in counts.items()
    )
    return ", ".join(lines) or "–"


def _variety(data: Sequence[DataSet]) -> Section:
    lines = (
        (one.name, f"{one.distinct:,}",
         f"{one.distinct / max(one.curated['questions_kept'], 1):.2f}",
         str(_median(one.kept_words)), str(_median(one.dropped_words)), f"{one.cut:,}")
        for one in data if one.reasoned
    )  # fmt: skip
    header = ("task and method", "distinct rationales kept", "a question", "median words, kept",
              "median words, dropped", "cut off")  # fmt: skip
    return Section("Length and variety", header, tuple(lines))


def _median(counts: Counter[int]) -> int | str:
    half = counts.total() / 2
    for value in sorted(counts):
        half -= counts[value]
        if half <= 0:
            return value
    return "–"


def _curves(run: Run, board: Board) -> Iterator[Chart]:
    """Yield a chart for every setting of a method by which alone some of its entries differ."""
    for setting in _varied(run.recipe.methods):
        series = [one for one in _series(run, board, setting) if len(one.points) > 1]
        if series:
            ticks = {x: f"{x:g}" for one in series for x, *_ in one.points}
            logarithmic = min(ticks) > 0 and max(ticks) / min(ticks) >= 8
            panel = Panel("", setting, series, logarithmic, ticks=ticks)
            description = f"Accuracy with 95 % intervals for each value of {setting}."
            yield Chart(f"{board.name}: accuracy by {setting}", description, panels([panel]))


def _varied(methods: Sequence[MethodEntry]) -> list[str]:
    """Return the numeric settings of which some method has several values."""
    values: dict[tuple[str, str], set[Any]] = {}
    for method in methods:
        if method.plugin.rounds:
            for key, value in dict(method.plugin).items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    values.setdefault((method.name, key), set()).add(value)
    return sorted({key for (_, key), found in values.items() if len(found) > 1})


def _series(run: Run, board: Board, setting: str) -> Iterator[Series]:
    """Yield a line for the entries of a method, and rows of a student, that differ by it alone."""
    groups: dict[tuple[str, ...], list[Point]] = {}
    names: dict[tuple[str, ...], str] = {}
    methods = {method.label: method for method in run.recipe.methods}
    for one in board.students:
        method, row = methods[one.row.method], one.row
        others = dict(method.plugin)
        if isinstance(value := others.pop(setting, None), int | float):
            same = str(others), str(method.train), str(method.filters)
            key: tuple[str, ...] = (method.name, *same, row.student, row.strategy)
            groups.setdefault(key, []).append((float(value), row.accuracy, row.low, row.high))
            extra = [row.student] if len(run.recipe.students) > 1 else []
            extra += [row.strategy] if len(run.recipe.strategies) > 1 else []
            names[key] = ", ".join([method.name, *extra])
    for key, points in groups.items():
        yield Series(names[key], sorted(points))


def _sizes(run: Run, boards: Sequence[Board]) -> Iterator[Chart]:
    """Yield accuracy by the size of the training split, of tasks that differ by nothing else."""
    groups: dict[tuple[str, ...], dict[str, list[Point]]] = {}
    for board in boards:
        asked, _ = run.digest(board.task.label, board.split)
        size = run.digest(board.task.label, "train")[1]
        lines = groups.setdefault((board.task.name, board.split, asked), {})
        for one in board.students:
            row = one.row
            lines.setdefault(one.label, []).append((size, row.accuracy, row.low, row.high))
    for (name, split, _), lines in groups.items():
        series = [Series(label, sorted(points)) for label, points in lines.items()]
        if any(len({x for x, *_ in one.points}) > 1 for one in series):
            title = f"{name}, {split} split: accuracy by training questions"
            panel = Panel("", "training questions", series, logarithmic=True)
            description = "Accuracy with 95 % intervals for each size of the training split."
            yield Chart(title, description, panels([panel]))


_LOOKS = {
    "exact": "the same text in the training split",
    "template": "the same but for names and numbers",
    "near": "nearly the same text",
    "exemplars_exact": "shown as an exemplar",
    "rationales": "quoted by a rationale of another question",
    "within_test": "the same text twice in the test split",
}


def _contamination(run: Run) -> Section:
    lines = []
    for task, looks in read_json(run.folder / "contamination.json").items():
        for name, words in _LOOKS.items():
            if (look := looks.get(name)) is not None:
                shown = ", ".join(" ~ ".join(pair) for pair in look["examples"][:3])
                lines.append((task, words, f"{len(look['ids'])}/{look['total']}", shown or "–"))
    header = ("task", "test questions with a twin", "how many", "for example")
    return Section("Contamination", header, tuple(lines))
