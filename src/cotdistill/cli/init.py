"""`cotdistill init`: a commented recipe for the user's own file or hub data set, from its columns
and values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cotdistill.data.rows import Row

_DATA = "Your JSONL, JSON, CSV, TSV or Parquet file, a folder of them, or a hub id."
_ANSWER = "Answer type: number, choice, yes_no, text, … Default: what the values are."
_FORCE = "Replace a recipe that is there already."
_EXAMPLE_FILE = "questions.jsonl"
_LOOKED_AT = 500
"""Rows whose values decide what is proposed."""
_MOST = 0.9
"""Share of the values that must agree with a proposal: a few rows may be faulty."""
_MARKS = ("####", "The answer is", "the answer is", "-->")
_TYPES = ("number", "yes_no", "date", "choice")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def init(
        data: Annotated[str | None, typer.Argument(help=_DATA)] = None,
        out: Annotated[Path, typer.Option(help="Where to write the recipe.")] = Path("recipe.yaml"),
        answer: Annotated[str | None, typer.Option(help=_ANSWER, show_default=False)] = None,
        force: Annotated[bool, typer.Option(help=_FORCE)] = False,
    ) -> None:
        """Write a commented recipe for your own task and endpoint."""
        from cotdistill import plugins
        from cotdistill.errors import RecipeError
        from cotdistill.util.files import write_text

        if answer is not None and answer not in plugins.names("answers"):
            raise RecipeError(f"--answer {answer}: there are {', '.join(plugins.names('answers'))}")
        if out.exists() and not force:
            raise RecipeError(f"{out} exists; choose another --out, or --force to replace it")
        found = _rows(data) if data is not None else []
        write_text(out, recipe_text(data or _EXAMPLE_FILE, proposal(found, answer), found))
        if data is None:
            remedy = f"put yours at {_EXAMPLE_FILE}, or correct `path` and `columns`"
            typer.echo(f"no file was named: {remedy}", err=True)
        typer.echo(f"wrote {out}; look through it, set your key, then: cotdistill run {out}")


def _rows(data: str) -> list[Row]:
    """Return the first rows of a local file or folder of files, read as the task will read them; []
    for a hub id.

    Raises:
        DataError: the file is missing, empty, or cannot be read.
    """
    from cotdistill.data.rows import is_hub_id, local_file, rows
    from cotdistill.errors import DataError

    path = Path(data).expanduser()
    if not path.exists() and is_hub_id(data):
        return []
    if path.is_dir():
        parts = [local_file(path, split) for split in ("train", "validation", "test", "ood")]
        file = next((part for part in parts if part is not None), None)
        if file is None:
            wrong = "holds no train, validation or test file; name a file, or put train.jsonl in it"
            raise DataError(f"{path}: {wrong}")
        path = file
    # All of it is read: a file that is damaged at its end should not be found out by a paid run.
    found = [row for number, row in enumerate(rows(path)) if number < _LOOKED_AT]
    if not found:
        raise DataError(f"{path}: no questions; the file is empty")
    return found


def proposal(found: list[Row], answer: str | None) -> dict[str, Any]:
    """Return the settings of the task that the columns and values of some rows suggest."""
    from cotdistill.data.fields import chat_column, options_of, texts_of

    columns = {field: _column(field, found) for field in ("question", "answer", "options")}
    chat = chat_column(found[0]) if found else ""
    if chat and not columns["question"]:
        columns["question"] = chat
        columns["answer"] = columns["answer"] or chat
    settings: dict[str, Any] = {"columns": columns, "answer": answer or "number"}
    if not found or not columns["answer"]:
        return settings
    column = columns["answer"]
    values = [texts_of(row, column)[-1] for row in found if row.fields.get(column) is not None]
    if after := next((mark for mark in _MARKS if _most(mark in value for value in values)), ""):
        settings["answer_after"] = after
        values = [value.rpartition(after)[2].strip() for value in values]
    options = options_of(found[0], columns["options"])[0] if columns["options"] else ()
    settings["answer"] = answer or ("choice" if options else _answer_type(values))
    if options and settings["answer"] == "choice" and _most(one.isdecimal() for one in values):
        counts = [len(options_of(row, columns["options"])[0]) for row in found]
        numbers = [int(one) for one in values if one.isdecimal()]
        last = any(number == count for number, count in zip(numbers, counts, strict=False))
        settings["answer_index"] = 1 if last and 0 not in numbers else 0
    return settings


def _column(field: str, found: list[Row]) -> str:
    """Return the file's column with a usual name of the field, "" where none has one."""
    from cotdistill.data.fields import ALIASES, missing

    for name in ALIASES[field]:
        for column in found[0].fields if found else ():
            used = any(not missing(row.fields.get(column)) for row in found)
            if str(column).strip().lower() == name.lower() and used:
                return str(column)
    return ""


def _answer_type(values: list[str]) -> str:
    from cotdistill import plugins
    from cotdistill.contracts import AnswerType

    for name in _TYPES:
        answer_type = plugins.build("answers", name, AnswerType)
        if _most(answer_type.gold(value) is not None for value in values):
            return name
    return "math_expression" if _most("\\" in value or "^" in value for value in values) else "text"


def _most(flags: Any) -> bool:
    found = list(flags)
    return bool(found) and sum(found) >= _MOST * len(found)


def recipe_text(data: str, settings: Mapping[str, Any], found: list[Row]) -> str:
    """Return the recipe, with what the file's own columns and values suggest filled in."""
    names = [str(name) for name in found[0].fields] if found else []
    seen = f"  # your file has: {', '.join(map(_scalar, names))}" if names else ""
    lines = [f"  columns:{seen}"]
    choice = settings["answer"] == "choice"
    for field in ("question", "answer", "options") if choice else ("question", "answer"):
        column = settings["columns"][field]
        hints = ["a list of option texts"] if field == "options" else []
        if found and not column:
            hints = [f"no column of your file is called so: name the one with the {field}"]
        hint = f"      # {'; '.join(hints)}" if hints else ""
        lines.append(f"    {field}: {_scalar(column or field)}{hint}")
    if "answer_after" in settings:
        mark = _scalar(settings["answer_after"])
        lines.append(f"  answer_after: {mark}      # the answer stands behind this mark")
    if "answer_index" in settings:
        first = settings["answer_index"]
        hint = f"# the answer is a number: the first option is {first}"
        lines.append(f"  answer_index: {first}      {hint}")
    task = "\n".join(lines)
    return f"""\
# A cotdistill recipe. Every key not given has a vetted default (docs/recipe.md); `cotdistill list`
# names the plug-ins.
# Keys are read from the environment only (here OPENAI_API_KEY); none is ever written to disk.

task:
  name: custom
  path: {_scalar(data)}        # JSONL, JSON, CSV, TSV or Parquet; or a hub id
  answer: {settings["answer"]}            # number, choice, yes_no, text, date, …
{task}

teacher:
  name: openai                  # any OpenAI-compatible endpoint; `lab` tries the recipe without one
  model: gpt-4.1
  # base_url: http://localhost:8000/v1
  # requests_per_minute: 500

student:
  model: HuggingFaceTB/SmolLM2-135M    # any checkpoint: a hub id or a folder
  # lora: {{r: 16}}                      # tune adapters instead of all weights

methods:                        # every method is compared on the same questions
  - answer_only                 # the baseline: no rationales
  - {{name: fine_tune_cot, max_tokens: 1024}}              # one teacher rationale a question
  - {{name: fine_tune_cot, max_tokens: 1024, samples: 8, label: fine_tune_cot D=8}}
  - {{name: zero_shot_cot, max_tokens: 1024, role: teacher, label: teacher}}

filters: [answer_match, truncated, duplicates]
seeds: [0, 1, 2]

limit: {{train: 1000, validation: 200, test: 500}}   # from the front; drop the line to use all
budget: {{usd: 20}}                                  # the run stops when it is spent, and resumes

train:
  epochs: 3
  batch_size: 16
  learning_rate: 3.0e-4
"""


def _scalar(text: str) -> str:
    """Return the text as one line of YAML, quoted where it must be."""
    import yaml

    plain: str = yaml.safe_dump(text, width=math.inf, allow_unicode=True)
    plain = plain.removesuffix("\n").removesuffix("\n...")
    if len(plain.splitlines()) == 1:
        return plain
    quoted: str = yaml.safe_dump(text, width=math.inf, default_style='"')
    return quoted.removesuffix("\n")
