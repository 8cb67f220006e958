"""A trained student as a folder that others use without surprise: `cotdistill export model`.

    config.json  model.safetensors  generation_config.json       weights, and how they are decoded
    tokenizer.json  tokenizer_config.json  chat_template.jinja   the format it was trained in
    README.md  SHA256SUMS                                        the card, and the files' checksums
    ctranslate2/  model.gguf                                     on request: for other runtimes

A method of several models has one such folder for each role, beside one README.md.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import torch

from cotdistill.checkpoints.hashes import seal
from cotdistill.checkpoints.loading import plain_generation
from cotdistill.checkpoints.text import TextCodec
from cotdistill.contracts import Student
from cotdistill.engines.transformers import ModelEngine, TransformersEngine
from cotdistill.errors import MissingExtra, UserError
from cotdistill.records import Example, Request
from cotdistill.runs.grid import Cell
from cotdistill.runs.run import Run
from cotdistill.sharing.asking import asks, placeholder
from cotdistill.sharing.card import ExportedRole, ExportSettings, model_card
from cotdistill.sharing.template import chat_template
from cotdistill.util.concurrency import run_async
from cotdistill.util.files import read_json, read_records, write_json, write_text, writing

_SHARD = "5GB"
"""Size of a weights file above which there are several."""


def trained_cell(run: Run, **wanted: str | int | None) -> Cell:
    """Return the trained cell with these labels (`task`, `method`, `student`, `seed`).

    Raises:
        UserError: none or several have them; the message lists the run's.
    """
    given = {key: value for key, value in wanted.items() if value is not None}
    cells = [cell for cell in run.cells() if cell.method.plugin.rounds]
    found = [cell for cell in cells if given.items() <= _options(cell).items()]
    if len(found) == 1:
        return found[0]
    options = [_options(cell) for cell in found or cells]
    telling = [key for key in ("task", "method", "student", "seed")
               if len({one[key] for one in options}) > 1]  # fmt: skip
    listed = "; ".join(
        " ".join(f"--{key} {str(one[key])!r}" for key in telling or one) for one in options
    )
    count = "several trained models" if found else "no trained model"
    raise UserError(f"{run.folder}: {count} of these labels; there are {listed or 'none'}")


def _options(cell: Cell) -> dict[str, Any]:
    entries = {"task": cell.task, "method": cell.method, "student": cell.student}
    return {**{key: entry.label for key, entry in entries.items()}, "seed": cell.seed}


def export_model(
    run: Run, cell: Cell, out: Path, settings: ExportSettings | None = None
) -> list[ExportedRole]:
    """Write the models of a cell to the new folder `out`, which appears whole or not at all.

    Raises:
        UserError: not trained yet, the folder is there already, no adapters to keep, a student of
            another framework, or one that a runtime asked for does not read.
        MissingExtra: the converter for a runtime is not installed.
        StoreError: the folder cannot be written.
    """
    settings = settings or ExportSettings()
    trained = run.train_artifact(cell)
    paths: dict[str, str] = trained.require("train")["checkpoints"]
    if out.exists():
        raise UserError(f"{out}: is there already; give another --out, or move it away")
    _check_runtimes(settings)
    method, answer_type = run.method(cell.task, cell.method), cell.task.plugin.answer_type
    question = placeholder(next(iter(run.questions(cell.task, "test"))))
    asked = run_async(asks(method, question, answer_type))
    partial = out.with_name(f"{out.name}~partial")
    shutil.rmtree(partial, ignore_errors=True)
    roles = list[ExportedRole]()
    with writing(out):
        for name, path in paths.items():
            request = next(request for role, request in asked if role == name)
            folder = partial if len(paths) == 1 else partial / name
            codec, parameters = _write_role(
                cell.student.plugin, trained.folder / path, folder, request, settings
            )
            roles.append(ExportedRole(name, codec, request, parameters))
        write_text(partial / "README.md", model_card(run, cell, roles, asked, settings))
        partial.rename(out)
    return roles


def _check_runtimes(settings: ExportSettings) -> None:
    for name, wanted in (("ctranslate2", settings.ctranslate2), ("gguf", settings.gguf)):
        if wanted and settings.adapter:
            raise UserError(f"--{name} is made of whole weights; leave out --adapter")
        if wanted and importlib.util.find_spec(name) is None:
            raise MissingExtra(f"--{name} needs: pip install 'cotdistill[{name}]'")


def _write_role(
    student: Student, checkpoint: Path, folder: Path, request: Request, settings: ExportSettings
) -> tuple[TextCodec, int]:
    engine = student.engine(checkpoint, TransformersEngine(device="cpu", dtype="float32"))
    if not isinstance(engine, ModelEngine):
        raise UserError(f"{checkpoint}: only students of transformers are exported")
    model, tokenizer = engine.model, engine.codec.tokenizer
    examples = read_records(checkpoint.with_name("examples.jsonl"), Example)
    tokenizer.chat_template = chat_template(engine.codec, {one.prompt for one in examples})
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    limits = {"max_new_tokens": request.max_tokens, "stop_strings": list(request.stop) or None}
    model.generation_config = generation = plain_generation(model, tokenizer, **limits)
    if settings.adapter:
        _copy_adapter(checkpoint / "adapter", folder, student)
        generation.save_pretrained(folder)
    else:
        model.config.use_cache = True  # gradient checkpointing had switched it off
        model.to(torch.bfloat16 if settings.weights == "bf16" else torch.float32)
        if settings.gguf:  # first: what it cannot hold is refused before gigabytes are written
            from cotdistill.checkpoints.gguf_writing import write_gguf

            write_gguf(model, tokenizer, checkpoint, folder / "model.gguf", settings.weights)
        model.save_pretrained(folder, max_shard_size=_SHARD)
    seal(folder, "*.gguf")
    parameters = model.num_parameters()
    if settings.ctranslate2:  # last: it takes the model apart
        from cotdistill.checkpoints.ctranslate2 import write_ctranslate2

        dtype = "bfloat16" if settings.weights == "bf16" else "float32"
        write_ctranslate2(model, tokenizer, checkpoint, folder / "ctranslate2", dtype)
        seal(folder / "ctranslate2", "*.bin")
    return engine.codec, parameters


def _copy_adapter(adapter: Path, folder: Path, student: Student) -> None:
    if not adapter.is_dir():
        raise UserError(f"{adapter}: no such folder; --adapter is for students with `lora`")
    shutil.copy2(adapter / "adapter_model.safetensors", folder)
    config = read_json(adapter / "adapter_config.json")
    write_json(
        folder / "adapter_config.json",
        {**config, "base_model_name_or_path": str(student.checkpoint or "")},
    )
