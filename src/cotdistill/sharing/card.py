"""The model card of an exported student: README.md, as the Hugging Face hub reads it.

It holds what the run knows: figures with intervals beside what they are compared with, teacher,
data, settings, fingerprint. Labels, model names and reasons are others' text: everything
is escaped but what this module marks as Markdown of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
import jinja2
import yaml
from markupsafe import Markup

from cotdistill import __version__, plugins
from cotdistill.checkpoints.bundled import BUNDLED, locate
from cotdistill.checkpoints.text import TextCodec
from cotdistill.evaluation.grid import MAJORITY, ScoreRow
from cotdistill.prompting.base import SingleStudent
from cotdistill.records import Rationale, Request
from cotdistill.runs.grid import Cell
from cotdistill.runs.run import Run
from cotdistill.sharing.asking import Asked
from cotdistill.sharing.template import RULE
from cotdistill.util.files import read_json, read_records
from cotdistill.util.markdown import escaped, fenced


@dataclass(frozen=True)
class ExportSettings:
    """Choices of an export: number format, adapters in place of whole weights, a licence, and what
    other runtimes read beside the checkpoint.
    """

    weights: Literal["bf16", "fp32"] = "bf16"
    adapter: bool = False
    licence: str = ""
    ctranslate2: bool = False
    gguf: bool = False


@dataclass(frozen=True)
class ExportedRole:
    """One model of an export as its card describes it."""

    name: str
    codec: TextCodec
    request: Request
    parameters: int


def model_card(
    run: Run, cell: Cell, roles: Sequence[ExportedRole], asked: Asked, settings: ExportSettings
) -> str:
    """Return the text of README.md."""
    rows, base = _score_rows(run, cell), _base(cell)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cotdistill", "sharing"),
        finalize=lambda value: value if isinstance(value, Markup) else escaped(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("card.md.jinja").render(
        front=Markup(_front(cell, rows, roles, settings)),
        labels={
            "task": cell.task.label,
            "method": cell.method.label,
            "student": cell.student.label,
        },
        summary=plugins.summary("methods", cell.method.name),
        roles=roles,
        turns=[(role, Markup(fenced(str(request.prompt)))) for role, request in asked],
        sample=Markup(fenced(_sample(roles, settings), "python")),
        chat=roles[0].codec.chat,
        rule=RULE,
        reading=_reading(cell),
        rows=rows,
        seed=cell.seed,
        baseline=run.baseline,
        data=list(_data(run, cell)),
        settings=settings,
        limits=list(_limits(run, cell)),
        base=base,
        base_licence=_base_licence(base),
        sources=_sources(run, cell),
        teacher=_teacher(run),
        training=Markup(fenced(yaml.safe_dump(_training(cell), sort_keys=False), "yaml")),
        trained=run.train_artifact(cell).require("train")["roles"],
        version=__version__,
        packages=_packages(run),
        fingerprint=run.train_artifact(cell).fingerprint,
    )
    return page.rstrip() + "\n"


def _front(
    cell: Cell, rows: Sequence[ScoreRow], roles: Sequence[ExportedRole], settings: ExportSettings
) -> str:
    """Return the YAML front matter, made by the hub's own class."""
    base = _base(cell)
    own = [row for row in rows if row.method == cell.method.label]
    results = [
        huggingface_hub.EvalResult(
            task_type="text-generation",
            dataset_type=row.task,
            dataset_name=f"{row.task} ({row.split}, {row.strategy})",
            metric_type="accuracy",
            metric_value=round(row.accuracy, 4),
        )
        for row in own
    ]
    data = huggingface_hub.ModelCardData(
        license=settings.licence or None,
        base_model=base if _is_hub_id(base) else None,
        library_name="peft" if settings.adapter else "transformers",
        pipeline_tag=None if roles[0].codec.encoder_decoder else "text-generation",
        tags=["cotdistill", "chain-of-thought", "distillation"],
        model_name=f"{cell.student.label} {cell.method.label}",
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _base(cell: Cell) -> str:
    """Return the hub id or name of what the student started from; of a folder only the name."""
    given = str(cell.student.plugin.checkpoint or "")
    if given in BUNDLED:
        return BUNDLED[given].hub or given
    return given if _is_hub_id(given) else Path(given).name or "random weights"


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def _base_licence(base: str) -> str:
    """Return the licence that the base's own card names, where that card is on this disk."""
    for name, entry in BUNDLED.items():
        if base in (name, entry.hub):
            return entry.licence
    card = Path(locate(base)) / "README.md"
    found = huggingface_hub.metadata_load(card) if card.is_file() else None
    known = (found or {}).get("license")
    page = f"see https://huggingface.co/{base}" if _is_hub_id(base) else "ask its publisher"
    return str(known) if known else f"not known here; {page}"


def _sample(roles: Sequence[ExportedRole], settings: ExportSettings) -> str:
    role = roles[0]
    kind = "Seq2SeqLM" if role.codec.encoder_decoder else "CausalLM"
    start = "" if role.codec.encoder_decoder else ', inputs["input_ids"].shape[1]:'
    place = f"PATH/{role.name}" if len(roles) > 1 else "PATH"
    names, own = f"AutoModelFor{kind}, AutoTokenizer", ""
    if settings.adapter:  # transformers takes that of the base
        names += ", GenerationConfig"
        own = ", generation_config=GenerationConfig.from_pretrained(place)"
    lines = [
        *(["# needs peft, and the base model that adapter_config.json names"] * settings.adapter),
        f"from transformers import {names}\n",
        f'place = "{place}"  # this folder, or its name on the hub',
        "tokenizer = AutoTokenizer.from_pretrained(place)",
        f"model = AutoModelFor{kind}.from_pretrained(place)",
        f"chat = [{{'role': 'user', 'content': {str(role.request.prompt)!r}}}]",
        "inputs = tokenizer.apply_chat_template(",
        '    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True',
        ")",
        f"written = model.generate(**inputs{own})[0{start}]",
        "print(tokenizer.decode(written, skip_special_tokens=True))",
    ]
    return "\n".join(lines)


def _reading(cell: Cell) -> str:
    kind = type(cell.task.plugin.answer_type).__name__
    plugin = cell.method.plugin
    if isinstance(plugin, SingleStudent) and plugin.marker:
        return f"the answer ({kind}) stands behind the last {plugin.marker}"
    return f"the answer ({kind}) is what the reply concludes with"


def _score_rows(run: Run, cell: Cell) -> list[ScoreRow]:
    """Return this model's rows, then what they are compared with; none of another recipe."""
    path = run.folder / "scores.json"
    scores = read_json(path) if path.exists() else {}
    if scores.get("made_from") != run.scores_made_from:
        return []
    teachers = {m.label for m in run.recipe.methods if m.plugin.prompted_role == "teacher"}
    compared = [cell.method.label, run.baseline, MAJORITY, *sorted(teachers)]
    rows = [ScoreRow.from_json(row) for row in scores["rows"]]
    return [
        row
        for method in dict.fromkeys(compared)
        for row in rows
        if row.method == method and row.task == cell.task.label
        if row.student in (cell.student.label, "")
    ]


def _sources(run: Run, cell: Cell) -> dict[str, int]:
    """Return how many kept rationales each source wrote: teacher, gold, base; "none" is none."""
    artifact = run.curate_artifact(cell.task, cell.method)
    artifact.require("curate")
    kept = read_records(artifact.folder / "kept.jsonl", Rationale)
    return dict(Counter(rationale.source for rationale in kept).most_common())


def _teacher(run: Run) -> str:
    teacher = run.recipe.teacher
    return ", ".join(filter(None, [teacher.name, str(teacher.settings.get("model") or "")]))


def _data(run: Run, cell: Cell) -> Iterator[tuple[str, str]]:
    counts = run.curate_artifact(cell.task, cell.method).require("curate")
    yield "Questions", f"{counts['questions_kept']} kept of {counts['questions']}"
    yield "Rationales", f"{counts['kept']} kept of {counts['candidates']}"
    yield "Written by", ", ".join(f"{s} {n}" for s, n in _sources(run, cell).items()) or "nobody"
    for reason, count in sorted(counts["dropped"].items()):
        yield "Dropped", f"{count} for {reason}"
    yield "Filters", ", ".join(entry.label for entry in cell.method.filters) or "none"
    path = run.folder / "contamination.json"
    looks = read_json(path).get(cell.task.label, {}) if path.exists() else {}
    for look in ("exact", "template", "near", "rationales"):
        if looks.get(look) is not None:
            found = f"{len(looks[look]['ids'])} of {looks[look]['total']}"
            yield f"Test questions with a twin in the training data ({look})", found


def _limits(run: Run, cell: Cell) -> Iterator[str]:
    trained = run.train_artifact(cell).require("train")["roles"]
    for role, notes in trained.items():
        if lost := "".join(notes.get("out_of_vocabulary", {})):
            yield f"The tokenizer of {role} loses these characters: {lost!r}."
        if notes.get("cut"):
            yield f"{notes['cut']} of {notes['examples']} targets of {role} were cut in training."
    if any(entry.name != "greedy" for entry in run.recipe.strategies):
        yield "Figures of other strategies than greedy need cotdistill: a model alone is greedy."
    if cell.method.train.selection == "oracle_test":
        yield "The epoch was selected on the test split: its figure there is no honest one."


def _training(cell: Cell) -> dict[str, Any]:
    method = cell.method.plugin.model_dump(mode="json", exclude={"exemplars"})
    student = cell.student.plugin.model_dump(mode="json", exclude={"model", "config", "tokenizer"})
    train = cell.method.train.model_dump(mode="json", exclude={"report_to", "save_minutes"})
    named = {"name": cell.method.name, **method}
    return {"seed": cell.seed, "method": named, "student": student, "train": train}


def _packages(run: Run) -> str:
    path = run.folder / "environment.json"
    packages = read_json(path)["packages"] if path.exists() else {}
    known = ("torch", "transformers", "tokenizers", "peft")
    return ", ".join(f"{name} {packages[name]}" for name in known if name in packages)
