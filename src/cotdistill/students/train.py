"""Trains one model role on its examples: the transformers Trainer, resumed by itself after a kill.

    result = train_role(examples, StudentSettings(model="lab"), TrainSettings(epochs=3), Path("solver"), seed=0)

`out` becomes a Hugging Face checkpoint (config, tokenizer, safetensors) with `training.json` beside it. While training,
`<out>.work` holds what a second call resumes from; it is removed at the end. After every epoch the model is scored and
the best epoch is kept. What is not here: who asks the student (`engines`), what it learns (`methods`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from cotdistill.checkpoints.hashes import seal
from cotdistill.checkpoints.loading import context_limit, load_model, load_tokenizer
from cotdistill.checkpoints.text import TextCodec
from cotdistill.contracts import Engine
from cotdistill.errors import MissingExtra, UserError
from cotdistill.records import Example
from cotdistill.students._data import (
    Batches,
    Collator,
    Prepared,
    fingerprint_text,
    prepare,
    vanishing,
)
from cotdistill.students._epochs import EpochKeeper
from cotdistill.students._trainer import TargetTrainer, can_share, world
from cotdistill.students.loading import build_base, codec_for, engine_over
from cotdistill.students.settings import LoraSettings, StudentSettings, TrainSettings
from cotdistill.util.progress import Advance

__all__ = ["TrainResult", "train_role"]

_QUESTIONS = 16
"""Questions that a batch should hold at least: with fewer, the examples of a step say too much of the same."""
_SAMPLE = 2_000
"""Examples looked at for characters that the tokenizer loses."""


@dataclass(frozen=True)
class TrainResult:
    """What a training did. `epoch` is the one kept; `history` has one entry per epoch and the losses between."""

    checkpoint: Path
    epoch: int
    steps: int
    examples: int
    tokens: int
    seconds: float
    parameters: int
    trained_parameters: int
    padding: float
    left_out: int = 0
    cut: int = 0
    vanished: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Everything but the place of the checkpoint, JSON-able."""
        return {key: value for key, value in asdict(self).items() if key != "checkpoint"}


def train_role(
    examples: Sequence[Example],
    student: StudentSettings,
    train: TrainSettings,
    out: Path,
    seed: int,
    *,
    start: Path | None = None,
    score: Callable[[Engine], float] | None = None,
    validation_examples: Sequence[Example] = (),
    on_progress: Advance | None = None,
    log: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train on the examples and write the checkpoint of the best epoch to `out`.

    Args:
        start: a checkpoint to go on from instead of the student's base.
        score: accuracy on the validation split of an engine over the model in training; selects the epoch.
        validation_examples: select the epoch by their loss where `train.selection` is "loss".
        on_progress: called once per optimizer step with a note of step, epoch and loss.
        say: told in one line each what the user should know before training starts.

    Raises:
        DataError: nothing to learn from, or no end token.
        UserError: the base cannot be loaded.
        MissingExtra: LoRA without peft.
    """
    began = time.monotonic()
    transformers.set_seed(seed)
    work = out.with_name(out.name + ".work")
    model, tokenizer = _base(student, train, start, seed)
    codec = codec_for(student, tokenizer, encoder_decoder=model.config.is_encoder_decoder)
    limits = {"max_prompt": train.max_prompt_tokens, "max_target": train.max_target_tokens}
    data = prepare(examples, codec, context=context_limit(model), **limits)
    lost = vanishing(
        (text for example in examples[:_SAMPLE] for text in (example.prompt, example.target)), codec
    )
    for line in _remarks(data, lost):
        (log or _silent)(line)
    inner, model = model, _adapted(model, student.lora)
    trainer = _trainer(model, inner, data, train, work, seed)
    if trainer.is_fsdp_enabled and score is not None and train.selection == "accuracy":
        raise UserError(
            "a model sharded by FSDP cannot answer between epochs: set `train.selection` to loss or last"
        )
    with trainer.args.main_process_first():
        resume = _resumable(work, _fingerprint(examples, student, train, start, seed))
    validation = (
        prepare(validation_examples, codec, context=context_limit(inner), **limits)
        if validation_examples
        else None
    )
    keeper = EpochKeeper(
        trainer,
        work,
        save_seconds=60 * train.save_minutes,
        score=_scorer(
            inner, codec, score if train.selection in ("accuracy", "oracle_test") else None
        ),
        validation=validation.rows if validation is not None and train.selection == "loss" else (),
        on_progress=on_progress,
    )
    trainer.add_callback(keeper)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    best = keeper.best()
    result = TrainResult(
        checkpoint=out,
        epoch=best["epoch"],
        steps=trainer.state.global_step,
        examples=len(data.rows),
        tokens=round(
            data.tokens
            * trainer.state.global_step
            * train.gradient_accumulation
            / len(trainer.batches)
        ),
        seconds=round(keeper.earlier_seconds + time.monotonic() - began, 2),
        parameters=sum(parameter.numel() for parameter in inner.parameters()),
        trained_parameters=sum(
            parameter.numel() for parameter in model.parameters() if parameter.requires_grad
        ),
        padding=round(1 - trainer.collator.used / max(1, trainer.collator.slots), 4),
        left_out=data.left_out,
        cut=data.cut,
        vanished=lost,
        history=keeper.history,
    )
    if trainer.is_world_process_zero():
        _write(model, inner, tokenizer, work / f"checkpoint-{best['step']}", out, result)
        shutil.rmtree(work)
    trainer.accelerator.wait_for_everyone()
    return result


def _silent(line: str) -> None:
    pass


def _base(
    student: StudentSettings, train: TrainSettings, start: Path | None, seed: int
) -> tuple[Any, Any]:
    """Weights in float32; in bfloat16 only where they stay frozen under adapters on an accelerator."""
    frozen = (
        student.lora is not None
        and train.precision != "float32"
        and torch.accelerator.is_available()
    )
    dtype = torch.bfloat16 if frozen else torch.float32
    if start is not None:
        return load_model(start, dtype), load_tokenizer(start)
    return build_base(student, seed, dtype)


def _adapted(model: Any, lora: LoraSettings | None) -> Any:
    if lora is None:
        return model
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("student `lora` needs peft: pip install 'cotdistill[lora]'") from error
    modules = (
        lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    )
    task = (
        peft.TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else peft.TaskType.CAUSAL_LM
    )
    config = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules,
        task_type=task,
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # peft reads a property that transformers renamed
        return peft.get_peft_model(model, config)


def _trainer(
    model: Any, inner: Any, data: Prepared, train: TrainSettings, work: Path, seed: int
) -> TargetTrainer:
    share = (
        train.share_prompts
        and not train.gradient_checkpointing
        and world()[1] == 1
        and can_share(inner)
    )
    pack = (train.pack or max(1, train.batch_size // _QUESTIONS)) if share else 1
    batches = Batches(data.rows, train.batch_size, pack, seed, rank=world()[0], world=world()[1])
    arguments = transformers.TrainingArguments(
        output_dir=str(work),
        num_train_epochs=train.epochs,
        max_steps=train.max_steps or -1,
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.gradient_accumulation,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule
        if train.warmup == 0 or train.schedule != "constant"
        else "constant_with_warmup",
        warmup_steps=train.warmup,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        use_cpu=not torch.accelerator.is_available(),
        bf16=_mixed(train),
        activation_checkpointing=train.gradient_checkpointing or None,
        logging_steps=max(1, train.steps(len(data.rows)) // 40),
        save_strategy="no",  # EpochKeeper says when
        eval_strategy="no",
        report_to=list(train.report_to),
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=seed,
        data_seed=seed,
    )
    trainer = TargetTrainer(
        rows=data.rows,
        batches=batches,
        collator=Collator(share, end_padded=inner.config.is_encoder_decoder),
        inner=inner,
        model=model,
        args=arguments,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _mixed(train: TrainSettings) -> bool:
    if train.precision != "auto":
        return train.precision == "bfloat16"
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def _scorer(
    inner: Any, codec: TextCodec, score: Callable[[Engine], float] | None
) -> Callable[[], float] | None:
    if score is None:
        return None

    def accuracy() -> float:
        training = inner.training
        result = score(engine_over(inner, codec))
        inner.train(training)
        return result

    return accuracy


def _remarks(data: Prepared, lost: dict[str, int]) -> list[str]:
    lines = []
    if data.left_out:
        lines.append(
            f"{data.left_out} training examples are left out: their prompts exceed `train.max_prompt_tokens`"
        )
    if data.cut:
        lines.append(
            f"{data.cut} training targets are cut at `train.max_target_tokens`: the student cannot learn their end"
        )
    if lost:
        shown = ", ".join(f"{character!r} ×{count}" for character, count in list(lost.items())[:8])
        lines.append(
            f"the student's tokenizer has no token for {shown}: they vanish from its prompts and targets"
        )
    return lines


def _fingerprint(
    examples: Sequence[Example],
    student: StudentSettings,
    train: TrainSettings,
    start: Path | None,
    seed: int,
) -> str:
    parts = [
        student.model_dump_json(),
        train.model_dump_json(),
        str(start),
        str(seed),
        fingerprint_text(examples),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _resumable(work: Path, made_from: str) -> Path | None:
    """The last whole checkpoint of an earlier call with the same inputs; anything else there is removed."""
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
    model: Any, inner: Any, tokenizer: Any, best: Path, out: Path, result: TrainResult
) -> None:
    """The best epoch as a checkpoint folder that appears whole or not at all."""
    partial = out.with_name(out.name + ".partial")
    for folder in (partial, out):
        if folder.exists():
            shutil.rmtree(folder)
    partial.mkdir(parents=True)
    if model is inner:
        for path in [
            *best.glob("*.safetensors"),
            *best.glob("*.safetensors.index.json"),
            *best.glob("*config.json"),
        ]:
            shutil.copy2(path, partial / path.name)
    else:
        import peft
        from safetensors.torch import load_file

        peft.set_peft_model_state_dict(model, load_file(best / "adapter_model.safetensors"))
        model.save_pretrained(partial / "adapter")
        model.merge_and_unload().save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / "training.json").write_text(
        json.dumps(result.to_json(), indent=1, ensure_ascii=False), encoding="utf-8"
    )
    seal(partial)
    partial.rename(out)
