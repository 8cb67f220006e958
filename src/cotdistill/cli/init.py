"""`cotdistill init`: a commented recipe for the user's own file or hub data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["recipe_text", "register"]

_EXAMPLE_FILE = "questions.jsonl"
_USUAL_NAMES = {
    "question": ("problem", "text", "input", "prompt"),
    "answer": ("gold", "label", "target", "output"),
    "options": ("choices", "candidates", "alternatives"),
}
_HINTS = {"options": "a list of option texts; answers are letters or option texts"}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def init(
        data: Annotated[
            str | None,
            typer.Argument(
                help="Your JSONL, JSON, CSV, TSV or Parquet file, a folder of them, or a hub id."
            ),
        ] = None,
        out: Annotated[Path, typer.Option(help="Where to write the recipe.")] = Path("recipe.yaml"),
        answer: Annotated[
            str, typer.Option(help="Kind of answer: number, choice, yes_no, text, …")
        ] = "number",
        force: Annotated[
            bool, typer.Option(help="Replace a recipe that is there already.")
        ] = False,
    ) -> None:
        """Write a commented recipe for your own task and endpoint."""
        from cotdistill import plugins
        from cotdistill.errors import RecipeError
        from cotdistill.util.files import write_text

        if answer not in plugins.names("answers"):
            raise RecipeError(f"--answer {answer}: there are {', '.join(plugins.names('answers'))}")
        if out.exists() and not force:
            raise RecipeError(f"{out} exists; choose another --out, or --force to replace it")
        columns = _columns(data) if data is not None else None
        write_text(out, recipe_text(data or _EXAMPLE_FILE, answer, columns))
        if data is None:
            typer.echo(
                f"no file was named: put yours at {_EXAMPLE_FILE}, or correct `path` and `columns`",
                err=True,
            )
        typer.echo(f"wrote {out}; look through it, set your key, then: cotdistill run {out}")


def _columns(data: str) -> list[str] | None:
    """The column names of a local file or folder of files, read as the task will read them; None for a hub id.

    Raises:
        DataError: the file is missing, empty, or cannot be read.
    """
    from cotdistill.data.rows import is_hub_id, rows
    from cotdistill.errors import DataError

    path = Path(data).expanduser()
    if not path.exists() and is_hub_id(data):
        return None
    file = _first_file(path) if path.is_dir() else path
    first = next(rows(file), None)
    if first is None:
        raise DataError(f"{file}: no questions; the file is empty")
    return [str(name) for name in first.fields]


def _first_file(folder: Path) -> Path:
    from cotdistill.data.rows import local_file
    from cotdistill.errors import DataError

    for split in ("train", "validation", "test", "ood"):
        if (file := local_file(folder, split)) is not None:
            return file
    raise DataError(
        f"{folder}: holds no train, validation or test file; name a file, or put train.jsonl in it"
    )


def recipe_text(data: str, answer: str, columns: list[str] | None) -> str:
    """The recipe, with what the file's own columns suggest filled in."""
    mapped = [_mapped(field, columns) for field in ("question", "answer")]
    if answer == "choice":
        mapped.append(_mapped("options", columns))
    seen = f"  # your file has: {', '.join(map(_scalar, columns))}" if columns else ""
    lines = "\n".join(f"    {line}" for line in mapped)
    return f"""\
# A cotdistill recipe. Every key not given has a vetted default; `cotdistill list` names the plug-ins.
# Keys are read from the environment only (here OPENAI_API_KEY); none is ever written to disk.

task:
  name: custom
  path: {_scalar(data)}        # JSONL, JSON, CSV, TSV or Parquet; or a hub id
  answer: {answer}            # number, choice, yes_no, text, date, …
  columns:{seen}
{lines}

teacher:
  name: openai                  # any OpenAI-compatible endpoint; `lab` tries the recipe without one
  model: gpt-4.1
  # base_url: http://localhost:8000/v1
  # requests_per_minute: 500

student:
  model: HuggingFaceTB/SmolLM2-135M    # any causal or encoder-decoder checkpoint: a hub id or a folder
  # lora: {{r: 16}}                      # tune adapters instead of all weights

methods:                        # every method is compared on the same questions
  - answer_only                 # the baseline: no rationales
  - fine_tune_cot               # one teacher rationale a question
  - {{name: fine_tune_cot, samples: 8, label: fine_tune_cot D=8}}
  - {{name: zero_shot_cot, role: teacher, label: teacher}}

filters: [answer_match, duplicates]
seeds: [0, 1, 2]

limit: {{train: 1000, validation: 200, test: 500}}   # from the front of each split; drop the line to use all
budget: {{usd: 20}}                                  # the run stops cleanly when it is spent, and resumes

train:
  epochs: 3
  batch_size: 16
  learning_rate: 3.0e-4
"""


def _mapped(field: str, columns: list[str] | None) -> str:
    """The line that maps a field of ours to the file's column, with a hint where no column has a usual name."""
    by_name = {name.strip().lower(): name for name in reversed(columns or [])}
    match = next((by_name[name] for name in (field, *_USUAL_NAMES[field]) if name in by_name), None)
    hints = [_HINTS[field]] if field in _HINTS else []
    if columns and match is None:
        hints.insert(
            0, f"no column of your file is called so: put the name of the one with the {field}"
        )
    hint = f"      # {'; '.join(hints)}" if hints else ""
    return f"{field}: {_scalar(match or field)}{hint}"


def _scalar(text: str) -> str:
    """The text as one line of YAML, quoted where it must be."""
    import math

    import yaml

    plain: str = yaml.safe_dump(text, width=math.inf, allow_unicode=True)
    plain = plain.removesuffix("\n").removesuffix("\n...")
    if len(plain.splitlines()) == 1:
        return plain
    quoted: str = yaml.safe_dump(text, width=math.inf, default_style='"')
    return quoted.removesuffix("\n")
