"""The second question, what is this: tasks, models, dates, versions, seeds, selections."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cotdistill.recipe import Entry
from cotdistill.reporting.blocks import Chapter, Section
from cotdistill.reporting.scoreboard import AnsweredCell, Board
from cotdistill.reporting.sizes import teacher_parameters
from cotdistill.reporting.wording import size
from cotdistill.runs.run import Run
from cotdistill.util.files import read_json

_SELECTIONS = {
    "accuracy": "the one with the best accuracy on the validation split (the last one where that "
    "is empty)",
    "loss": "the one with the lowest loss on the validation split's gold rationales",
    "last": "the last one",
    "oracle_test": "the one with the best accuracy on the TEST split, which no honest figure is",
}


def chapter(run: Run, boards: Sequence[Board]) -> Chapter:
    """Return the chapter."""
    answered = [one for board in boards for one in board.answered]
    lines = [*_data(run), *_models(run, answered), *_circumstances(run, answered)]
    set_up = Section("Set-up", ("what", "which"), tuple(lines))
    return Chapter("what", "What is this?", list(_notes(run, boards)), [set_up])


def _data(run: Run) -> Iterator[tuple[str, str]]:
    for task in run.recipe.tasks:
        splits = dict.fromkeys(("train", "validation", *run.recipe.evaluate_on))
        sizes = ", ".join(f"{split} {run.digest(task.label, split)[1]}" for split in splits)
        known = [str(task.settings[key]) for key in ("path", "data_dir") if key in task.settings]
        yield f"task {task.label}", "; ".join([sizes, " ".join([task.name, *known])])


def _models(run: Run, answered: Sequence[AnsweredCell]) -> Iterator[tuple[str, str]]:
    for role, entry in (("teacher", run.recipe.teacher), ("guide", run.recipe.guide)):
        if entry is not None:
            settings = dict(entry.plugin)
            known = [str(settings[key]) for key in ("model", "base_url") if settings.get(key)]
            known += map(str, settings.get("files", ()))
            parameters = teacher_parameters(entry)
            counted = (
                [f"({size(parameters.count)} parameters, {parameters.source})"]
                if parameters
                else []
            )
            yield role, " ".join([entry.name, *known, *counted])
    for student in run.recipe.students:
        yield f"student {student.label}", _student(student, answered)


def _student(student: Entry, answered: Sequence[AnsweredCell]) -> str:
    """Return checkpoint, parameters and device of a student, as its trainings noted them."""
    notes = [note for one in answered if one.cell.student.label == student.label
             for note in one.training.get("roles", {}).values()]  # fmt: skip
    parameters = sorted({note["parameters"] for note in notes})
    trained = sorted({note["trained_parameters"] for note in notes})
    devices = sorted({note["device"] for note in notes if note.get("device")})
    parts = [str(student.plugin.checkpoint or "untrained")]
    if parameters:
        parts.append(f"{', '.join(map(size, parameters))} parameters")
    if trained != parameters:
        parts.append(f"{', '.join(map(size, trained))} of them trained")
    return "; ".join([*parts, *([f"trained on {', '.join(devices)}"] if devices else [])])


def _circumstances(run: Run, answered: Sequence[AnsweredCell]) -> Iterator[tuple[str, str]]:
    environment = read_json(run.folder / "environment.json")
    recipe, packages = run.recipe, environment["packages"]
    yield "filters", ", ".join({entry.label: None for method in recipe.methods
                                for entry in method.filters}) or "none"  # fmt: skip
    yield "seeds", ", ".join(map(str, recipe.seeds))
    yield "dates", _dates(answered)
    versions = (f"{name} {packages[name]}" for name in packages)
    yield "versions", ", ".join([f"python {environment['python']}", *versions])
    if environment.get("git"):
        git = environment["git"]
        yield "git checkout", f"{git['commit']}, {git['changed_files']} changed files"
    yield "machine", f"{environment['machine']}, {environment['cores']} cores"
    yield "command", f"cotdistill run {run.folder / 'recipe.yaml'}"


def _dates(answered: Sequence[AnsweredCell]) -> str:
    """Return between which days the models' answers were finished, by the times of the files."""
    markers = [one.folder / "done.json" for one in answered]
    times = sorted(path.stat().st_mtime for path in markers if path.exists())
    if not times:
        return "–"
    first, last = (datetime.fromtimestamp(one, UTC) for one in (times[0], times[-1]))
    return f"answers from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _notes(run: Run, boards: Sequence[Board]) -> Iterator[str]:
    limit = run.recipe.limit
    if limit.test is not None and any(
        run.digest(task.label, "test")[1] == limit.test for task in run.recipe.tasks
    ):
        yield f"Scored on the first {limit.test} questions of the split, the same for every row."
    yield from _selections(run)
    for board, row, one in ((b, r, a) for b in boards for r in b.rows for a in r.answered):
        if transient := one.answering.get("transient"):
            yield (
                f"{board.name}, {row.label}, seed {one.cell.seed}: {transient} questions failed "
                "for now and count as wrong; the same command asks them again."
            )


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
