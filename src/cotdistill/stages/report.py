"""Report: the scores as one self-contained page, as Markdown, and as tables in the terminal.

Reads `scores.json`, `contamination.json` and the metadata of the stages' artifacts; writes
`report.html` and `report.md`. Left out: curves of the training runs; the training log has them.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cotdistill.errors import UserError
from cotdistill.evaluation.grid import MAJORITY, Scored, ScoreRow
from cotdistill.evaluation.published import Configuration, load_published, matching
from cotdistill.records import Answer
from cotdistill.runs.run import Run
from cotdistill.stages._job import StageJob
from cotdistill.stages._rendering import Section, Transcription, markdown, page, terminal_table
from cotdistill.util.files import read_json, read_records, write_text
from cotdistill.util.terminal import shortened

TRANSCRIPTIONS_PER_CELL = 3


def jobs(run: Run) -> Iterator[StageJob]:
    """Yield one job: the report of the whole grid."""
    yield StageJob(run, report)


def report(run: Run) -> None:
    """Write report.html and report.md of an evaluated run, and print its main tables.

    Raises:
        UserError: the scores are not those of this recipe.
    """
    path = run.folder / "scores.json"
    scores = read_json(path) if path.exists() else {}
    if scores.get("made_from") != run.scores_made_from:
        raise UserError(f"{path}: not the scores of this recipe; run the stage evaluate first")
    rows = [ScoreRow.from_json(row) for row in scores["rows"]]
    tables = _by_table(run, rows)
    sections = [
        score_section(f"{task}: accuracy in %, {split} split", found, run.baseline)
        for (task, split), found in tables.items()
    ]
    labelled = [one for found in tables.values() for one in found]
    sections += [_failures(labelled), _curation(run), _spent(run), _time(run)]
    by_group = dict(zip(rows, scores["by_group"], strict=True))
    first = [(row, label) for row, label in labelled if row.split == run.recipe.evaluate_on[0]]
    sections += [_by_group(name, first, by_group) for name in ("steps", "length", "operation")]
    sections += [_published(run, rows), _setup(run)]
    content = (
        run.recipe.name,
        [_best(task, found, run.baseline) for (task, _), found in tables.items()],
        [section for section in sections if section.rows],
        list(_notes(run)),
        list(_transcriptions(run)),
    )
    write_text(run.folder / "report.md", markdown(*content))
    write_text(run.folder / "report.html", page(*content))
    for section in sections:
        if section.rows and section.prominent:
            run.progress.show(terminal_table(section))
    for sentence in content[1]:
        run.progress.log(sentence)
    run.progress.log(f"report: {run.folder / 'report.html'}")


Labelled = Sequence[tuple[ScoreRow, str]]
"""Rows with the labels they are shown under."""


def _by_table(run: Run, rows: Iterable[ScoreRow]) -> dict[tuple[str, str], Labelled]:
    """Return the rows of each task and split, in the recipe's order."""
    tables: dict[tuple[str, str], list[tuple[ScoreRow, str]]] = {
        (task.label, split): [] for split in run.recipe.evaluate_on for task in run.recipe.tasks
    }
    for row in rows:
        tables[row.task, row.split].append((row, _label(run, row)))
    return {key: found for key, found in tables.items() if found}


def _label(run: Run, row: ScoreRow) -> str:
    student = [row.student] if len(run.recipe.students) > 1 and row.student else []
    strategy = [row.strategy] if len(run.recipe.strategies) > 1 and row.strategy else []
    oracle = ["selected on the test split"] if row.selection == "oracle_test" else []
    extra = ", ".join([*student, *strategy, *oracle])
    return f"{row.method} ({extra})" if extra else row.method


def _best(task: str, rows: Labelled, baseline: str) -> str:
    """Return one sentence: which student is best, by how much, and how near to the teacher."""
    students = [one for one in rows if one[0].student]
    others = [row.accuracy for row, _ in rows if not row.student and row.method != MAJORITY]
    if not students:
        return f"{task}: no student was evaluated."
    row, label = max(students, key=lambda one: one[0].accuracy)
    points, _, p = _difference(row.difference, row.p_corrected).partition(" ")
    against = f", {points} points {p} against {baseline}"
    teacher = f"; the teacher reaches {_percent(max(others))} %" if others else ""
    return (
        f"{task}, {row.split} split: {label} is the best student with {_interval(row)} %"
        f"{against if row.difference is not None else ''}{teacher}."
    )


def score_section(title: str, rows: Labelled, baseline: str) -> Section:
    """Return the table of one task and split, from its rows and their labels."""
    guide = (
        "; after the plus those of a guide, and for how many questions it gave the answer away"
        if any(row.guide_tokens for row, _ in rows)
        else ""
    )
    return Section(
        title,
        ("method", "accuracy", "n", f"vs. {baseline}", f"vs. {MAJORITY}", "no answer %", "tokens"),
        tuple((label, *_cells(row)) for row, label in rows),
        "Accuracies with 95 % intervals; n: questions × seeds. Differences in points on the same "
        "questions, paired tests, p corrected for all comparisons of the run (Holm). The majority "
        "answer is the most common one of the training split. Tokens: written per question"
        f"{guide}.",
        tuple((row.accuracy, row.low, row.high) for row, _ in rows),
        prominent=True,
    )


def _cells(row: ScoreRow) -> Iterator[str]:
    total = row.n * len(row.seeds)
    failed = f"; {row.failed} of {total} questions failed" if row.failed else ""
    yield f"{_interval(row)}{failed}"
    yield f"{row.n}×{len(row.seeds)}" if len(row.seeds) > 1 else str(row.n)
    yield _difference(row.difference, row.p_corrected)
    yield _difference(row.over_majority, row.p_over_majority)
    cut = f" ({row.truncated} truncated)" if row.truncated else ""
    yield f"{_percent(row.no_answer)}{cut}" if row.no_answer else "–"
    guide = f" + {row.guide_tokens:.0f}" if row.guide_tokens else ""
    leaks = f" ({100 * row.leaks:.0f} % leak)" if row.leaks else ""
    yield f"{row.tokens:.0f}{guide}{leaks}"


def _interval(row: ScoreRow) -> str:
    return f"{_percent(row.accuracy)} [{_percent(row.low)}, {_percent(row.high)}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _difference(difference: float | None, p: float | None) -> str:
    if difference is None or p is None:
        return "–"
    return f"{100 * difference:+.1f} ({'p<0.001' if p < 0.001 else f'p={p:.3f}'})"


def _failures(rows: Labelled) -> Section:
    lines = (
        (row.task, row.split, label, shortened(reason), str(count))
        for row, label in rows
        for reason, count in row.failures.items()
    )
    header = ("task", "split", "method", "reason and first message", "questions")
    note = "They count as questions without a right answer."
    return Section("Failed questions", header, tuple(lines), note, prominent=True)


def _curation(run: Run) -> Section:
    lines = []
    for task, method in run.trained():
        found = run.curate_artifact(task, method).metadata
        if found is not None:
            words = (run.generate_artifact(task, method).metadata or {}).get("messages", {})
            numbers = (found[key] for key in ("questions", "candidates", "kept", "questions_kept"))
            reasons = (_reasons(found["dropped"]), _reasons(found["failed"], words))
            lines.append((task.label, method.label, *map(str, numbers), *reasons))
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


def _spent(run: Run) -> Section:
    lines = []
    for role in ("teacher", "guide"):
        total = run.spent().get(role)
        if total is not None:
            kinds = ("completions", "from_log", "prompt_tokens", "completion_tokens")
            money = f"${total['money']:.4f}" if total["money"] is not None else "–"
            lines.append((role, *(f"{total[kind]:,}" for kind in kinds), money))
    header = ("model", "completions", "more from the log", "prompt tokens", "completion tokens")
    return Section("Cost", (*header, "money"), tuple(lines))


def _time(run: Run) -> Section:
    """Seconds by stage: what each took when it was done, not the time of a rerun."""
    seconds: dict[tuple[str, str], list[float]] = {}

    def add(task: Any, method: Any, stage: int, metadata: Mapping[str, Any] | None) -> None:
        row = seconds.setdefault((task.label, method.label), [0.0, 0.0, 0.0])
        row[stage] += (metadata or {}).get("seconds", 0.0)

    for task, method in run.trained():
        add(task, method, 0, run.generate_artifact(task, method).metadata)
    for cell in run.cells():
        if cell.method.plugin.rounds:
            add(cell.task, cell.method, 1, run.train_artifact(cell).metadata)
    for cell, split, strategy in run.answered():
        add(cell.task, cell.method, 2, run.infer_artifact(cell, split, strategy).metadata)
    lines = tuple((*key, *(f"{one:,.0f}" for one in row)) for key, row in seconds.items())
    return Section("Time in seconds", ("task", "method", "generate", "train", "infer"), lines)


def _by_group(name: str, rows: Labelled, by_group: Mapping[ScoreRow, Any]) -> Section:
    """Accuracy by group of questions; nothing where all questions of a task are in one group."""
    lines: list[tuple[str, dict[Any, Any]]] = []
    for row, label in rows:
        found = {one["group"]: one for one in by_group[row][name]}
        if len(found) > 1:
            lines.append((f"{row.task}, {label}", found))
    keys = {key for _, found in lines for key in found}
    order = sorted(keys, key=lambda key: (isinstance(key, str), key))
    cells = (
        (label, *(_share(found[key]) if key in found else "" for key in order))
        for label, found in lines
    )
    return Section(f"Accuracy in % by {name}", ("", *map(str, order)), tuple(cells))


def _share(figure: Mapping[str, float]) -> str:
    return f"{100 * figure['accuracy']:.0f} (n={figure['n']})"


def _published(run: Run, rows: Sequence[ScoreRow]) -> Section:
    """Published accuracies and ours of the same task, split, student, method and samples."""
    tasks = {task.label: task for task in run.recipe.tasks}
    students = {student.label: student for student in run.recipe.students}
    methods = {method.label: method for method in run.recipe.methods}
    ours = []
    for row in rows:
        if row.method in methods and row.student in students:
            task, method = tasks[row.task], methods[row.method]
            split = str(task.settings.get("split", "default"))
            model = str(students[row.student].plugin.checkpoint)
            samples = str(method.settings.get("samples", ""))
            ours.append((row, Configuration(task.name, split, model, method.name, samples)))
    lines = (
        (
            f"{figure.source}, {figure.table}: {figure.task}, {figure.student}, {figure.method}",
            f"{figure.value:.1f} ({figure.label})",
            _interval(row),
        )
        for figure, row in matching(ours, load_published())
    )
    return Section("Published and ours", ("figure", "published", "ours"), tuple(lines))


def _setup(run: Run) -> Section:
    recipe, environment = run.recipe, read_json(run.folder / "environment.json")
    packages = environment["packages"]
    lines = [
        (f"task {task.label}", ", ".join(f"{split} {run.digest(task.label, split)[1]}"
                                         for split in ("train", "validation", *recipe.evaluate_on)))
        for task in recipe.tasks
    ]  # fmt: skip
    for role, entry in (("teacher", recipe.teacher), ("guide", recipe.guide)):
        if entry is not None:
            known = (
                str(entry.settings[key]) for key in ("model", "base_url") if key in entry.settings
            )
            lines.append((role, " ".join([entry.name, *known])))
    lines += [(f"student {one.label}", str(one.plugin.checkpoint)) for one in recipe.students]
    lines.append(("seeds", ", ".join(map(str, recipe.seeds))))
    versions = (f"{name} {packages[name]}" for name in packages)
    lines.append(("versions", ", ".join([f"python {environment['python']}", *versions])))
    lines.append(("machine", f"{environment['machine']}, {environment['cores']} cores"))
    return Section("Set-up", ("what", "which"), tuple(lines))


def _notes(run: Run) -> Iterator[str]:
    limit = run.recipe.limit
    if limit.test is not None and any(
        run.digest(task.label, "test")[1] == limit.test for task in run.recipe.tasks
    ):
        yield f"Scored on the first {limit.test} questions of the split, the same for every row."
    for task, looks in read_json(run.folder / "contamination.json").items():
        found = {name: f"{len(look['ids'])}/{look['total']}" for name, look in looks.items()
                 if name != "notes" and look is not None}  # fmt: skip
        near = f"{found['near']} nearly the same text, " if "near" in found else ""
        yield (
            f"Contamination, {task}: test questions with a twin in the training split: "
            f"{found['exact']} the same text, {found['template']} the same template, {near}"
            f"{found['rationales']} quoted by a rationale."
        )
        yield from looks["notes"]
    yield from _selections(run)
    for cell, split, strategy in run.answered():
        transient = (run.infer_artifact(cell, split, strategy).metadata or {}).get("transient")
        if transient:
            yield (
                f"{cell.label}, {split}, {strategy.label}: {transient} questions failed for now "
                "and count as wrong; the same command asks them again."
            )


_SELECTIONS = {
    "accuracy": "the one with the best accuracy on the validation split (the last one where that "
    "is empty)",
    "loss": "the one with the lowest loss on the validation split's gold rationales",
    "last": "the last one",
    "oracle_test": "the one with the best accuracy on the TEST split, which no honest figure is",
}


def _selections(run: Run) -> Iterator[str]:
    """Yield how each method's checkpoint was selected, and whether the test split was used."""
    methods: dict[str, list[str]] = {}
    for method in run.recipe.methods:
        if method.plugin.rounds:
            methods.setdefault(method.train.selection, []).append(method.label)
    for selection, labels in methods.items():
        of = f" of {', '.join(labels)}" if len(methods) > 1 else ""
        yield f"The epoch kept{of} is {_SELECTIONS[selection]}."
    if "oracle_test" not in methods:
        yield "The test split was scored once."


def _transcriptions(run: Run) -> Iterator[Transcription]:
    for cell, split, strategy in run.answered():
        if split != run.recipe.evaluate_on[0] or cell.seed != run.recipe.seeds[0]:
            continue
        folder = run.infer_artifact(cell, split, strategy).folder
        triples = zip(
            run.questions(cell.task, split),
            read_records(folder / "answers.jsonl", Answer),
            read_records(folder / "scored.jsonl", Scored),
            strict=True,
        )
        for question, answer, scored in itertools.islice(triples, TRANSCRIPTIONS_PER_CELL):
            yield Transcription(
                label=", ".join([cell.task.label, cell.method.label, cell.student.label]),
                verdict=scored.verdict.value,
                question=question.block,
                gold=str(question.answer),
                answer=str(answer.answer),
                text=answer.text,
            )
