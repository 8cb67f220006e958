"""Train a student on one role's examples: the transformers Trainer, resumed after a kill.

`out` becomes a Hugging Face checkpoint (config, tokenizer, safetensors) with `training.json` beside
it. While training, `<out>.work` holds what a second call resumes from; it is removed at the end.
After every epoch the model is scored and the best epoch is kept. The written checkpoint is loaded
once and must compute what the model in training did.
"""

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic import BaseModel, ConfigDict

from cotdistill import plugins
from cotdistill.checkpoints.hashes import seal
from cotdistill.checkpoints.loading import context_limit, load_model, plain_generation
from cotdistill.checkpoints.text import TextCodec
from cotdistill.contracts import Engine, Objective, TrainResult, TrainSettings, identity
from cotdistill.engines.transformers import ModelEngine
from cotdistill.errors import StoreError, UserError
from cotdistill.records import Example
from cotdistill.students._compiling import compile_layers
from cotdistill.students._data import (
    Collator,
    ExampleBatches,
    Prepared,
    TokenizedExample,
    out_of_vocabulary,
    prepare,
)
from cotdistill.students._epochs import EpochKeeper
from cotdistill.students._loading import adapted, build_base
from cotdistill.students._scoring import Scorer, form_for
from cotdistill.students._settings import TransformersSettings
from cotdistill.students._trainer import TargetTrainer, TrainingArguments
from cotdistill.util.files import read_records, write_json, writing

_SAMPLE = 2_000
"""Examples looked at for characters that the tokenizer loses."""
_LARGE = 50_000_000
"""Parameters from which products outweigh bfloat16's conversions on a CPU."""
_TOLERANCE = 0.02
"""Nats per token by which a written checkpoint may differ: merging adapters in bfloat16 rounds."""


class TrainingJob(BaseModel):
    """Everything that decides what comes out of a training; as JSON it goes to other processes."""

    model_config = ConfigDict(frozen=True)

    student: TransformersSettings
    examples: Path
    out: Path
    objective: dict[str, Any]
    """A plug-in's entry."""
    settings: TrainSettings
    seed: int
    start: Path | None
    validation: Path | None

    @property
    def work(self) -> Path:
        return self.out.with_name(self.out.name + ".work")

    def fingerprint(self) -> str:
        settings = json.dumps(identity(self.settings))
        rest = self.model_dump_json(exclude={"out", "examples", "settings"})
        contents = hashlib.sha256(self.examples.read_bytes()).hexdigest()
        return hashlib.sha256(f"{settings}{rest}{contents}".encode()).hexdigest()


@contextmanager
def _quiet_adapters() -> Iterator[None]:
    with warnings.catch_warnings():
        # peft says with every checkpoint that it saves adapted embeddings too, as it should.
        warnings.filterwarnings("ignore", "Setting `save_embedding_layers`", UserWarning)
        yield


@_quiet_adapters()
def train(
    job: TrainingJob,
    score: Callable[[Engine], float] | None,
    on_progress: Callable[[int, str], None],
    log: Callable[[str], None],
) -> TrainResult:
    """Train as `Student.train` says, in this process or as one of torchrun's."""
    started = time.monotonic()
    transformers.set_seed(job.seed)
    settings = job.settings
    objective = plugins.build("objectives", job.objective, Objective)
    examples = list(read_records(job.examples, Example))
    inner, codec = build_base(
        job.student, job.seed, start=job.start, dtype=base_dtype(job.student, job.settings)
    )
    inner.generation_config = plain_generation(inner, codec.tokenizer)
    limit = context_limit(inner.config)
    data = prepare(examples, codec, objective, settings, limit)
    texts = (text for item in examples[:_SAMPLE] for text in (item.prompt, item.target))
    lost = out_of_vocabulary(texts, codec)
    for line in _remarks(data, lost):
        log(line)
    validation: list[TokenizedExample] = []
    if job.validation is not None and settings.selection == "loss":
        held_out = read_records(job.validation, Example)
        validation = prepare(held_out, codec, objective, settings, limit).rows
    if settings.gradient_checkpointing:
        inner.gradient_checkpointing_enable({"use_reentrant": False})
    model = adapted(inner, job.student, settings)
    trainer = make_trainer(model, inner, data.rows, objective, job)
    if trainer.args.bf16 and settings.precision == "auto":
        log("trains in bfloat16 mixed precision; `train: {precision: float32}` does without")
    scored = settings.selection in ("accuracy", "oracle_test")
    if trainer.sharded:
        log(f"each of the {world()[1]} processes holds a part of the model (`strategy: fsdp`)")
    with trainer.args.main_process_first():
        resume = _resumable(job)
    keeper = EpochKeeper(
        trainer,
        job.work,
        save_seconds=60 * settings.save_minutes,
        score=_accuracy(inner, codec, score) if score is not None and scored else None,
        validation=validation,
        on_progress=on_progress,
    )
    trainer.add_callback(keeper)
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"out of memory: {str(error).splitlines()[0]} Lower `train.batch_size` and raise "
            "`train.gradient_accumulation`, or set `train.gradient_checkpointing`, or on several "
            "GPUs `train.strategy: fsdp`"
        ) from error
    seconds = keeper.earlier_seconds + time.monotonic() - started
    result = _result(trainer, inner, keeper, data, lost, seconds)
    if trainer.is_world_process_zero():
        _write(job, trainer, inner, codec, keeper, result)
    trainer.accelerator.wait_for_everyone()
    return result


def _result(
    trainer: TargetTrainer,
    inner: Any,
    keeper: EpochKeeper,
    data: Prepared,
    lost: dict[str, int],
    seconds: float,
) -> TrainResult:
    steps, collator = trainer.state.global_step, trainer.collator
    batches = steps * trainer.args.gradient_accumulation_steps
    trained = (one.numel() for one in trainer.model.parameters() if one.requires_grad)
    return TrainResult(
        epoch=keeper.best()["epoch"],
        steps=steps,
        examples=len(data.rows),
        tokens=round(data.tokens * batches / len(trainer.batches)),
        seconds=round(seconds, 2),
        parameters=sum(one.numel() for one in inner.parameters()),
        trained_parameters=sum(trained),
        padding=round(1 - collator.used / max(1, collator.slots), 4),
        left_out=data.left_out,
        cut=data.cut,
        device=_device_name(trainer.args.device),
        out_of_vocabulary=lost,
        history=keeper.history,
    )


def world() -> tuple[int, int]:
    """Return this process's rank and the number of processes, as torchrun sets them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def base_dtype(student: TransformersSettings, settings: TrainSettings) -> torch.dtype:
    """Return float32, or bfloat16 where weights stay frozen under adapters on an accelerator."""
    frozen = student.lora is not None and torch.accelerator.is_available()
    return torch.bfloat16 if frozen and settings.precision != "float32" else torch.float32


def make_trainer(
    model: Any, inner: Any, rows: list[TokenizedExample], objective: Objective, job: TrainingJob
) -> TargetTrainer:
    """Return the Trainer of a job over its rows."""
    settings = job.settings
    rank, processes = world()
    warm = settings.warmup != 0 and settings.schedule == "constant"
    arguments = TrainingArguments(
        output_dir=str(job.work),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size,  # `ExampleBatches` shares it out
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup" if warm else settings.schedule,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        use_cpu=not torch.accelerator.is_available(),
        bf16=_mixed(settings, inner),
        logging_steps=max(1, settings.steps(len(rows)) // 40),
        ddp_broadcast_buffers=False,  # buffers (rotary frequencies) never change
        logging_nan_inf_filter=False,  # EpochKeeper stops at a loss that is no number
        save_strategy="no",  # EpochKeeper says when
        eval_strategy="no",
        report_to=list(settings.report_to),
        project=os.environ.get("WANDB_PROJECT", "cotdistill"),
        run_name=os.environ.get("WANDB_NAME"),  # of every tracker: trackio reads no variable
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=job.seed,
        data_seed=job.seed,
    )
    form = form_for(inner)
    if settings.compile:
        compile_layers(inner)
    collator = Collator(settings.share_prompts and form != "padded", form)
    if objective.uses_reference:
        model.to(arguments.device)
        rows = Scorer(inner).with_reference(model, rows, collator, settings.batch_size)
    accumulation = settings.gradient_accumulation
    size, together = settings.batch_size, settings.group_prompts
    batches = ExampleBatches(rows, size, job.seed, accumulation, rank, processes, together)
    trainer = TargetTrainer(
        rows=rows,
        batches=batches,
        collator=collator,
        objective=objective,
        inner=inner,
        batch_tokens=settings.batch_tokens,
        sharded=settings.strategy == "fsdp" and processes > 1,
        model=model,
        args=arguments,
    )
    if trainer.sharded and form == "encoder":
        collator.share = False  # the encoder alone would be a forward pass apart
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _mixed(settings: TrainSettings, model: Any) -> bool:
    """Return whether to train in mixed precision; asks torch what the processor computes with."""
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    large = model.num_parameters() >= _LARGE
    return large and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _accuracy(
    inner: Any, codec: TextCodec, score: Callable[[Engine], float]
) -> Callable[[], float]:
    def accuracy() -> float:
        training = inner.training
        identity = {"engine": "transformers", "checkpoint": "in memory"}
        result = score(ModelEngine(inner.eval(), codec, identity))
        inner.train(training)
        return result

    return accuracy


def _remarks(data: Prepared, lost: dict[str, int]) -> list[str]:
    lines = []
    if data.left_out:
        lines.append(
            f"{data.left_out} training examples are left out: their prompts exceed "
            "`train.max_prompt_tokens`"
        )
    if data.cut:
        lines.append(
            f"{data.cut} training targets are cut at `train.max_target_tokens`: the student cannot "
            "learn their end"
        )
    if lost:
        counts = ", ".join(f"{character!r} ×{count}" for character, count in list(lost.items())[:8])
        lines.append(
            f"out of the vocabulary of the student's tokenizer: {counts}; its prompts and targets "
            "lose these characters"
        )
    return lines


def _resumable(job: TrainingJob) -> Path | None:
    """Return the last whole checkpoint of a call with the same inputs; remove anything else."""
    work, made_from = job.work, job.fingerprint()
    note = work / "inputs.txt"
    if work.exists() and (not note.exists() or note.read_text("utf-8") != made_from):
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    note.write_text(made_from, encoding="utf-8")
    whole = {}
    for folder in work.glob("checkpoint-*"):
        state = folder / "trainer_state.json"  # written last
        try:
            whole[int(json.loads(state.read_text("utf-8"))["global_step"])] = folder
        except (OSError, ValueError):
            shutil.rmtree(folder)
    return whole[max(whole)] if whole else None


def _write(
    job: TrainingJob,
    trainer: TargetTrainer,
    inner: Any,
    codec: TextCodec,
    keeper: EpochKeeper,
    result: TrainResult,
) -> None:
    """Write the best epoch as a checkpoint folder that appears whole or not at all.

    Raises:
        StoreError: the written checkpoint does not compute what the trained model computed.
    """
    step, out, model = keeper.best()["step"], job.out, trainer.model
    best = job.work / f"checkpoint-{step}"
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with writing(partial):
        partial.mkdir(parents=True)
        if model is inner:
            for pattern in ("*.safetensors", "*.safetensors.index.json", "*config.json"):
                for path in best.glob(pattern):
                    shutil.copy2(path, partial / path.name)
        else:
            import peft
            from safetensors.torch import load_file

            peft.set_peft_model_state_dict(model, load_file(best / "adapter_model.safetensors"))
            model.save_pretrained(partial / "adapter")
            model.merge_and_unload().save_pretrained(partial)
        codec.tokenizer.save_pretrained(partial)
        write_json(partial / "training.json", result.to_json())
        seal(partial)
    device = torch.device("cpu") if trainer.sharded else trainer.args.device  # it fits no other
    dtype = base_dtype(job.student, job.settings)
    written = trainer.probe(load_model(partial, dtype, device))
    trained = keeper.probes[str(step)]
    if not abs(written - trained) <= _TOLERANCE * (1 + trained):
        raise StoreError(
            f"{partial}: the written checkpoint has a loss of {written:.3f} where the trained "
            f"model had {trained:.3f}; it is not used. Train without `lora`, or with other target "
            "modules"
        )
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    shutil.rmtree(job.work)
