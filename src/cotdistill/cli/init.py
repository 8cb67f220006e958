"""`cotdistill init`: a commented recipe for the user's own file or hub data set, from its columns
and values.

The file is read as the task will read it, and what cannot work is refused before a recipe is
written: nothing is bought to find out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cotdistill.data.rows import Row

_DATA = "Your JSONL, JSON, CSV, TSV or Parquet file, a folder of them, or a hub id."
_ANSWER = "Answer type: number, choice, yes_no, text, … Default: what the values are."
_FORCE = "Replace a recipe that is there already."
_YES = "Ask nothing: take what is proposed. So it is where no person is at the terminal."
_UNLABELLED = "Some training questions have no answer: keep what most samples agree on."
_EXAMPLE_FILE = "questions.jsonl"
_LOOKED_AT = 500
"""Rows whose values decide what is proposed."""
_SHOWN = 3
_SCHEMA = "recipe.schema.json"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def init(
        data: Annotated[str | None, typer.Argument(help=_DATA)] = None,
        out: Annotated[Path, typer.Option(help="Where to write the recipe.")] = Path("recipe.yaml"),
        answer: Annotated[str | None, typer.Option(help=_ANSWER, show_default=False)] = None,
        question_field: Annotated[str, typer.Option(help="Column of the question.")] = "",
        answer_field: Annotated[str, typer.Option(help="Column of the answer.")] = "",
        options_field: Annotated[
            list[str] | None,
            typer.Option(help="Column of the options; once for each where each has its own."),
        ] = None,
        unlabelled: Annotated[bool, typer.Option("--unlabelled", help=_UNLABELLED)] = False,
        teacher: Annotated[str, typer.Option(help="The teacher's model.")] = "gpt-4.1",
        base_url: Annotated[str, typer.Option(help="The teacher's endpoint.")] = "",
        student: Annotated[str, typer.Option(help="A hub id, folder or short name.")] = (
            "HuggingFaceTB/SmolLM2-135M"
        ),
        yes: Annotated[bool, typer.Option("--yes", "-y", help=_YES)] = False,
        force: Annotated[bool, typer.Option("--force", help=_FORCE)] = False,
    ) -> None:
        """Write a commented recipe for your own task and endpoint."""
        from cotdistill.data.proposals import proposal
        from cotdistill.util.files import write_text

        _refuse(answer, out, force=force)
        found = _rows(data) if data is not None else []
        options = options_field or []
        given: dict[str, Any] = {"question": question_field, "answer": answer_field}
        given |= {"options": options[0] if len(options) == 1 else tuple(options)}
        given |= {"type": answer, "unlabelled": unlabelled}
        models = {"teacher": teacher, "base_url": base_url, "student": student}
        if not yes and data is not None and _at_terminal():
            given, models = _asked(found, given, models)
        settings = proposal(found, **given)
        if found and data is not None:
            _show(data, settings, found)
        write_text(out, recipe_text(data or _EXAMPLE_FILE, settings, found, models))
        _write_schema(out.parent / _SCHEMA)
        if data is None:
            remedy = f"put yours at {_EXAMPLE_FILE}, or correct `path` and `columns`"
            typer.echo(f"no file was named: {remedy}", err=True)
        typer.echo(f"wrote {out}; look through it, set your key, then: cotdistill run {out}")


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _refuse(answer: str | None, out: Path, *, force: bool) -> None:
    from cotdistill import plugins
    from cotdistill.errors import RecipeError

    if answer is not None and answer not in plugins.names("answers"):
        raise RecipeError(f"--answer {answer}: there are {', '.join(plugins.names('answers'))}")
    if out.exists() and not force:
        raise RecipeError(f"{out} exists; choose another --out, or --force to replace it")


def _write_schema(path: Path) -> None:
    from cotdistill.cli.schema import schema_text
    from cotdistill.util.files import write_text

    write_text(path, schema_text())


def _rows(data: str) -> list[Row]:
    """Return the first rows of a local file or folder of files, read as the task will read them; []
    for a hub id.

    Raises:
        DataError: the file is missing, empty, or cannot be read.
    """
    from cotdistill.data.rows import is_hub_id, local_file, rows
    from cotdistill.errors import DataError

    path, source = Path(data).expanduser(), data
    if not path.exists() and is_hub_id(data):
        return []
    if path.is_dir():
        parts = [local_file(path, split) for split in ("train", "validation", "test", "ood")]
        file = next((part for part in parts if part is not None), None)
        if file is None:
            wrong = "holds no train, validation or test file; name a file, or put train.jsonl in it"
            raise DataError(f"{path}: {wrong}")
        source = str(file)
    # All of it is read: a file that is damaged at its end should not be found out by a paid run.
    found = [row for number, row in enumerate(rows(source)) if number < _LOOKED_AT]
    if not found:
        raise DataError(f"{source}: no questions; the file is empty")
    return found


def _asked(
    found: list[Row], given: dict[str, Any], models: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask the person at the terminal for what was not given, with the proposals as defaults."""
    from cotdistill.data.proposals import proposal

    columns = proposal(found, **given)["columns"]
    asked = dict(given)
    for field in ("question", "answer"):
        if found and not given[field] and not (field == "answer" and given["unlabelled"]):
            names = ", ".join(map(str, found[0].fields))
            asked[field] = typer.prompt(f"column of the {field} ({names})", columns[field] or None)
    if found and not given["type"]:
        asked["type"] = typer.prompt("answer type", proposal(found, **asked)["answer"])
    words = {"teacher": "teacher's model", "base_url": "its endpoint", "student": "student"}
    default = {**models, "base_url": models["base_url"] or "https://api.openai.com/v1"}
    return asked, {name: typer.prompt(words[name], default[name]) for name in models}


def _show(data: str, settings: Mapping[str, Any], found: list[Row]) -> None:
    """Read all of the data as the task will, and show the first questions.

    Raises:
        DataError: it cannot be read so, or the test split has no answer to compare with.
    """
    from cotdistill.errors import DataError
    from cotdistill.tasks.custom import Custom
    from cotdistill.util.terminal import printable

    names = ", ".join(map(str, found[0].fields))
    for field in ("question", "answer"):
        column = settings["columns"][field]
        if not column and not (field == "answer" and settings.get("unlabelled")):
            none = "; or --unlabelled, where a second file has answers" if field == "answer" else ""
            raise DataError(
                f"{data}: no column is called as a {field} usually is; it has {names}: name the "
                f"one with the {field}, --{field}-field NAME{none}"
            )
    task = Custom(path=data, **_task_settings(settings))
    splits = task.load()
    if all(one.answer is None for part in splits.values() for one in part):
        raise DataError(
            f"{data}: no question has an answer, so nothing can be tested; give a second file "
            "that has answers, `path: {train: …, test: …}` in the recipe"
        )
    sizes = ", ".join(f"{len(part)} {name}" for name, part in splits.items())
    typer.echo(f"{data}: {sizes}; the first questions as they are read:")
    for question in islice(next(part for part in splits.values() if part), _SHOWN):
        known = "(none)" if question.answer is None else question.gold
        typer.echo(printable(f"  Q: {question.block}".replace("\n", "\n     ")))
        typer.echo(printable(f"  A: {known}   [{settings['answer']}]"))


def _task_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    columns = {name: column for name, column in settings["columns"].items() if column}
    return {**settings, "columns": columns}


def recipe_text(
    data: str, settings: Mapping[str, Any], found: list[Row], models: Mapping[str, str]
) -> str:
    """Return the recipe, with what the file's own columns and values suggest filled in."""
    endpoint = models["base_url"]
    base_url = (
        f"base_url: {_scalar(endpoint)}" if endpoint else "# base_url: http://localhost:8000/v1"
    )
    bare = settings.get("unlabelled")
    judge = "self_consistency" if bare else "answer_match"
    why = "  # kept: what most samples agree on" if bare else ""
    return f"""\
# yaml-language-server: $schema={_SCHEMA}
# A cotdistill recipe. Every key not given has a vetted default (docs/recipe.md); `cotdistill list`
# names the plug-ins.
# Keys are read from the environment only (here OPENAI_API_KEY); none is ever written to disk.

task:
  name: custom
  path: {_scalar(data)}        # JSONL, JSON, CSV, TSV or Parquet; or a hub id
  answer: {settings["answer"]}            # number, choice, yes_no, text, date, …
{_task_lines(settings, found)}

teacher:
  name: openai                  # any OpenAI-compatible endpoint; `lab` tries the recipe without one
  model: {_scalar(models["teacher"])}
  {base_url}
  # requests_per_minute: 500

student:
  model: {_scalar(models["student"])}    # any checkpoint: a hub id or a folder
  # lora: {{r: 16}}                      # tune adapters instead of all weights

methods:                        # every method is compared on the same questions
{_METHODS_WITHOUT_GOLD if bare else _METHODS}
filters: [{judge}, truncated, duplicates]{why}
seeds: [0, 1, 2]

limit: {{train: 1000, validation: 200, test: 500}}   # from the front; drop the line to use all
budget: {{tokens: 10000000}}    # the run stops when they are spent, and resumes; or {{usd: 20}},
                              # with prices: pip install 'cotdistill[prices]', or input_price

train:
  epochs: 3
  batch_size: 16
  learning_rate: 3.0e-4
"""


_METHODS = """\
  - answer_only                 # the baseline: no rationales
  - {name: fine_tune_cot, max_tokens: 1024}              # one teacher rationale a question
  - {name: fine_tune_cot, max_tokens: 1024, samples: 8, label: fine_tune_cot D=8}
  - {name: zero_shot_cot, max_tokens: 1024, role: teacher, label: teacher}
"""
_METHODS_WITHOUT_GOLD = """\
  - {name: zero_shot, role: base, label: untrained}      # answer_only would need answers
  - {name: fine_tune_cot, max_tokens: 1024, samples: 8, label: fine_tune_cot D=8}
  - {name: zero_shot_cot, max_tokens: 1024, role: teacher, label: teacher}
"""


def _task_lines(settings: Mapping[str, Any], found: list[Row]) -> str:
    names = [str(name) for name in found[0].fields] if found else []
    seen = f"  # your file has: {', '.join(map(_scalar, names))}" if names else ""
    lines = [f"  columns:{seen}"]
    choice = settings["answer"] == "choice"
    for field in ("question", "answer", "options") if choice else ("question", "answer"):
        column = settings["columns"][field]
        if field == "options" and not column and found:
            continue  # they stand in the question, or the answers are bare letters
        shown = _scalar(column or field) if isinstance(column, str) else _list(column)
        lines.append(f"    {field}: {shown}")
    hints = {
        "answer_after": "the answer stands behind this mark",
        "answer_index": "the answer is a number: so many is the first option",
        "unlabelled": "training questions may have no answer",
    }
    for name, hint in hints.items():
        if name in settings:
            lines.append(f"  {name}: {_scalar(settings[name])}      # {hint}")
    return "\n".join(lines)


def _list(columns: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_scalar, columns))}]" if columns else "options"


def _scalar(text: Any) -> str:
    """Return a scalar as one line of YAML, quoted where it must be."""
    import yaml

    plain: str = yaml.safe_dump(text, width=math.inf, allow_unicode=True)
    plain = plain.removesuffix("\n").removesuffix("\n...")
    if len(plain.splitlines()) == 1:
        return plain
    quoted: str = yaml.safe_dump(text, width=math.inf, default_style='"')
    return quoted.removesuffix("\n")
