"""`cotdistill init`: a commented recipe for the user's own file or hub data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["recipe_text", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def init(
        data: Annotated[str, typer.Argument(help="Your JSONL, CSV or Parquet file, or a hub id.")] = "questions.jsonl",
        out: Annotated[Path, typer.Option(help="Where to write the recipe.")] = Path("recipe.yaml"),
        answer: Annotated[str, typer.Option(help="Kind of answer: number, choice, yes_no, text, …")] = "number",
        force: Annotated[bool, typer.Option(help="Replace a recipe that is there already.")] = False,
    ) -> None:
        """Write a commented recipe for your own task and endpoint."""
        from cotdistill import plugins
        from cotdistill.errors import RecipeError
        from cotdistill.store import write_text

        if answer not in plugins.names("answers"):
            raise RecipeError(f"--answer {answer}: there are {', '.join(plugins.names('answers'))}")
        if out.exists() and not force:
            raise RecipeError(f"{out} exists; choose another --out, or --force to replace it")
        write_text(out, recipe_text(data, answer, _columns(data)))
        typer.echo(f"wrote {out}; look through it, set your key, then: cotdistill run {out}")


def _columns(data: str) -> list[str] | None:
    """The column names of a local JSONL or CSV file, to help to map them; None where they cannot be seen."""
    import csv
    import json

    path = Path(data)
    if not path.is_file() or path.suffix not in {".jsonl", ".json", ".csv"}:
        return None
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            return next(csv.reader(file), None)
        first = file.readline()
    try:
        row = json.loads(first)
    except json.JSONDecodeError:
        return None
    return list(row) if isinstance(row, dict) else None


def recipe_text(data: str, answer: str, columns: list[str] | None) -> str:
    """The recipe, with what the file's own columns suggest filled in."""

    def mapped(field: str, *usual: str) -> str:
        match = next((name for name in columns or [] if name.lower() in {field, *usual}), None)
        return f"{field}: {match or field}"

    seen = f"  # your file has: {', '.join(columns)}" if columns else ""
    options = (
        "\n    options: options      # a list of option texts; answers are letters or option texts"
        if answer == "choice"
        else ""
    )
    return f"""\
# A cotdistill recipe. Every key not given has a vetted default; `cotdistill list` names the plug-ins.
# Keys are read from the environment only (here OPENAI_API_KEY); none is ever written to disk.

task:
  name: custom
  path: {data}        # JSONL, CSV or Parquet; or a hub id
  answer: {answer}            # number, choice, yes_no, text, date, …
  columns:{seen}
    {mapped("question", "problem", "text", "input", "prompt")}
    {mapped("answer", "gold", "label", "target", "output")}{options}

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
