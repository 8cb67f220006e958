"""`cotdistill export`: what a run made, as others read it: models, training sets, logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from cotdistill.cli.run import Overrides

if TYPE_CHECKING:
    import pyarrow

    from cotdistill.recipe import Entry, MethodEntry
    from cotdistill.records import Example, Question, Rationale
    from cotdistill.runs.run import Run

_Run = Annotated[Path, typer.Argument(help="A run folder, or its recipe.", show_default=False)]
_Out = Annotated[Path | None, typer.Option(help="Folder to write to; default: in the run folder.")]
_Target = Annotated[
    str | None,
    typer.Option(
        help="Folder or address (s3://bucket/folder) to write to; default: in the run folder."
    ),
]
_Parquet = Annotated[bool, typer.Option("--parquet", help="Parquet for JSON Lines.")]
_T = TypeVar("_T")
_COLUMNS = (
    *("task", "method", "question_id", "question", "gold", "text", "answer", "sample_index"),
    *("source", "steps", "keys", "extra", "dropped_by", "reason"),
)
"""Columns of exported rationales in Parquet; `extra` is JSON."""
_RECENT = 1000
"""Questions that are held while rationales are joined to them."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Write what a run made as other programs read it.")
    app.add_typer(group, name="export")

    @group.command("model")
    def export_model_folder(
        run: _Run,
        out: Annotated[Path, typer.Option(help="The new folder.", show_default=False)],
        task: Annotated[str | None, typer.Option(help="Label of the task.")] = None,
        method: Annotated[str | None, typer.Option(help="Label of the method.")] = None,
        student: Annotated[str | None, typer.Option(help="Label of the student.")] = None,
        seed: Annotated[int | None, typer.Option(help="The seed it was trained with.")] = None,
        dtype: Annotated[
            Literal["bf16", "fp32"], typer.Option(help="Number format; bf16 rounds.")
        ] = "bf16",
        adapter: Annotated[
            bool, typer.Option("--adapter", help="LoRA adapters alone, not merged.")
        ] = False,
        ctranslate2: Annotated[
            bool,
            typer.Option("--ctranslate2", help="Also the folder ctranslate2/ of that runtime."),
        ] = False,
        gguf: Annotated[
            bool, typer.Option("--gguf", help="Also model.gguf, for llama.cpp and Ollama.")
        ] = False,
        license: Annotated[str, typer.Option(help="Licence named in the model card.")] = "",
        set: Overrides = None,
    ) -> None:
        """Write a trained student with its chat template, settings and model card."""
        from cotdistill.runs.run import open_run
        from cotdistill.sharing.card import ExportSettings
        from cotdistill.sharing.model import export_model, trained_cell

        opened = open_run(run, set)
        cell = trained_cell(opened, task=task, method=method, student=student, seed=seed)
        settings = ExportSettings(dtype, adapter, license, ctranslate2, gguf)
        roles = export_model(opened, cell, out, settings)
        rounded = "; bf16 rounds: --dtype fp32 does not" if dtype == "bf16" and not adapter else ""
        names = ", ".join(role.name for role in roles)
        typer.echo(f"wrote {cell.label} ({names}) to {out}{rounded}")

    @group.command("sft")
    def export_sft(
        run: _Run,
        format: Annotated[
            Literal["messages", "prompt-completion", "alpaca"], typer.Option(help="Form of a row.")
        ] = "messages",
        parquet: _Parquet = False,
        license: Annotated[str, typer.Option(help="Licence named in the data card.")] = "unknown",
        out: _Target = None,
        set: Overrides = None,
    ) -> None:
        """Write the curated rationales as training sets, one folder for each task and method."""
        from cotdistill.data.sft import write_sft
        from cotdistill.runs.run import open_run
        from cotdistill.util.addresses import folder_for
        from cotdistill.util.naming import folder_name

        opened = open_run(run, set)
        for task, method in opened.trained():
            place = f"{folder_name(task.label)}/{folder_name(method.label)}"
            target = f"{out or opened.folder / 'sft'}/{place}"
            facts, dropped = _facts(opened, task, method)
            examples = curated_examples(opened, task, method)
            card: dict[str, Any] = {"licence": license, "facts": facts, "dropped": dropped}
            with folder_for(target) as folder:
                counts = write_sft(examples, folder, format, parquet=parquet, **card)
            rows = ", ".join(f"{count} for {role}" for role, count in counts.items())
            typer.echo(f"wrote {rows} to {target}")

    @group.command("rationales")
    def export_rationales(
        run: _Run, parquet: _Parquet = False, out: _Target = None, set: Overrides = None
    ) -> None:
        """Write every candidate rationale with its question, and the reason if it was dropped."""
        import json

        from cotdistill.data.writing import row_file
        from cotdistill.runs.run import open_run
        from cotdistill.util.addresses import folder_for

        opened, count = open_run(run, set), 0
        target = out or str(opened.folder / "rationales")
        name = "rationales.parquet" if parquet else "rationales.jsonl"
        schema = _schema() if parquet else None
        with folder_for(target) as folder, row_file(folder / name, schema) as write:
            for count, row in enumerate(_candidates(opened), 1):  # noqa: B007
                write(row | {"extra": json.dumps(row["extra"])} if parquet else row)
        typer.echo(f"wrote {count} rationales to {target}/{name}")

    @group.command("inspect")
    def export_inspect(run: _Run, out: _Out = None, set: Overrides = None) -> None:
        """Write one Inspect log for each model, task and seed; open them with `inspect view`."""
        import re
        from datetime import UTC, datetime

        from cotdistill.evaluation.grid import Scored
        from cotdistill.evaluation.interchange import inspect_log
        from cotdistill.records import Answer
        from cotdistill.runs.run import open_run
        from cotdistill.util.files import read_records, write_json

        opened = open_run(run, set)
        folder = out or opened.folder / "inspect"
        written = 0
        for cell, split, strategy in opened.answered():
            artifact = opened.infer_artifact(cell, split, strategy)
            path = artifact.folder / "scored.jsonl"
            if not path.exists():
                artifact.require("infer")
                artifact.require("evaluate")
            moment = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
            answers = read_records(artifact.folder / "answers.jsonl", Answer)
            asked = opened.questions(cell.task, split)
            rows = zip(asked, answers, read_records(path, Scored), strict=True)
            settings = cell.labels(split, strategy)
            model = f"{cell.method.label}/{cell.student.label}"
            log = inspect_log(rows, cell.task.label, model, moment, settings)
            # Inspect finds logs by names of this form, in which a task has no other characters.
            stamp, task = moment.replace(":", "-"), re.sub(r"\W+|_", "-", cell.task.label)
            write_json(folder / f"{stamp}_{task}_{log['eval']['eval_id']}.json", log)
            written += 1
        hint = f"open them with   inspect view --log-dir {folder}"
        typer.echo(f"wrote {written} logs to {folder}; {hint}")


def curated_examples(run: Run, task: Entry, method: MethodEntry) -> Iterator[Example]:
    """Yield what the kept rationales of a task and method teach, of every role.

    Raises:
        UserError: the rationales of this recipe are not curated yet.
    """
    plugin, kept = run.method(task, method), _kept(run, task, method)
    questions = partial(run.questions, task, "train")
    for question, rationale in _asked(questions, kept, lambda one: one.question_id):
        yield from plugin.examples(question.learnt_from(rationale), rationale)


def _asked(
    questions: Callable[[], Iterable[Question]], found: Iterable[_T], id: Callable[[_T], str]
) -> Iterator[tuple[Question, _T]]:
    """Yield what was found with its questions, mostly in their order: few of them are held."""
    recent: dict[str, Question] = {}
    ahead = iter(questions())
    for one in found:
        while id(one) not in recent:
            if (question := next(ahead, None)) is None:  # a filter has changed the order
                recent = {question.id: question for question in questions()}
                break
            recent[question.id] = question
            if len(recent) > _RECENT:
                del recent[next(iter(recent))]
        yield recent[id(one)], one


def _candidates(run: Run) -> Iterator[dict[str, Any]]:
    tasks = {task.label: task for task in run.recipe.tasks}
    # Within a part rationales are in the order of their questions.
    parts = groupby(
        run.rationales(), lambda row: (row["task"], row["method"], row["reason"] is None)
    )
    for (task, *_), part in parts:
        questions = partial(run.questions, tasks[task], "train")
        for question, row in _asked(questions, part, itemgetter("question_id")):
            yield {**row, "question": question.block, "gold": question.answer}


def _schema() -> pyarrow.Schema:
    import pyarrow

    text = pyarrow.string()
    step = pyarrow.struct({"question": text, "solution": text, "answer": text})
    kinds = {
        "sample_index": pyarrow.int64(),
        "steps": pyarrow.list_(step),
        "keys": pyarrow.list_(text),
    }
    return pyarrow.schema({name: kinds.get(name, text) for name in _COLUMNS})


def _kept(run: Run, task: Entry, method: MethodEntry) -> Iterator[Rationale]:
    from cotdistill.records import Rationale
    from cotdistill.util.files import read_records

    artifact = run.curate_artifact(task, method)
    artifact.require("curate")
    return read_records(artifact.folder / "kept.jsonl", Rationale)


def _facts(run: Run, task: Entry, method: MethodEntry) -> tuple[dict[str, str], dict[str, int]]:
    """Return what a data card says of a training set, and its dropped rationales by reason."""
    from cotdistill.evaluation.contamination import contamination_report

    counts: dict[str, Any] = run.curate_artifact(task, method).metadata or {}
    train, test = (run.questions(task, split) for split in ("train", "test"))
    overlap = contamination_report(train, test, rationales=_kept(run, task, method))
    looks = {
        "the same question": overlap.exact,
        "the same but for names and numbers": overlap.template,
        "nearly the same": overlap.near,
        "quoted in a rationale": overlap.rationales,
    }
    found = [f"{name} {look}" for name, look in looks.items() if look is not None]
    teacher = run.recipe.teacher
    facts = {
        "Task": task.label,
        "Method": method.label,
        "Teacher": ", ".join([teacher.name, *filter(None, [teacher.settings.get("model")])]),
        "Filters": ", ".join(entry.label for entry in method.filters) or "none",
        "Rationales": f"{counts.get('kept')} kept of {counts.get('candidates')}",
        "Questions": f"{counts.get('questions_kept')} kept of {counts.get('questions')}",
        "Test questions in the training split": "; ".join([*found, *overlap.notes]),
    }
    return facts, counts.get("dropped", {})
