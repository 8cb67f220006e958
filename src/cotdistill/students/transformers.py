"""A student of the transformers library: any checkpoint that it loads without foreign code.

    student: {model: google/flan-t5-small}
    student: {model: Qwen/Qwen2.5-0.5B, lora: {r: 16}}
    student: {config: {model_type: t5, d_model: 512}, tokenizer: path/to/spiece.model}

It is trained by the transformers Trainer (`_training`) with batches of its own (`_data`) and a
forward pass that computes equal prompts once (`_scoring`). Nothing here imports torch before it is
used.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from cotdistill.contracts import (
    Engine,
    EnginePlugin,
    Objective,
    Pace,
    TrainResult,
    TrainSettings,
    Trial,
    silent,
)
from cotdistill.records import Example
from cotdistill.students._settings import TransformersSettings
from cotdistill.util.launching import LAUNCHER
from cotdistill.util.memory import give_back

_LARGE = 10_000_000
"""Parameters of a student whose memory is worth a search for objects that refer to one another."""


class TransformersStudent(TransformersSettings):
    """A causal or encoder-decoder checkpoint (safetensors) trained by the transformers Trainer.

    `model` is "lab" (the bundled base), a checkpoint folder, a GGUF file or a hub id. In its place
    `config` (a config.json, its folder, or a mapping with `model_type`) and `tokenizer` (a folder,
    hub id, or SentencePiece .model file) make a randomly initialised model. The format "auto" is
    that of Fine-tune-CoT (Ho et al. 2023): a decoder-only model reads `{prompt} ###` and writes
    ` {target}`, an encoder-decoder reads `{prompt}` and writes `{target}`; "chat" goes through the
    tokenizer's chat template. `prompt_end` and `target_begin` replace those of "auto".
    """

    def train(
        self,
        examples: Path,
        out: Path,
        *,
        objective: Objective,
        settings: TrainSettings,
        seed: int = 0,
        start: Path | None = None,
        validation: Path | None = None,
        score: Callable[[Engine], float] | None = None,
        on_progress: Callable[[int, str], None] = silent,
        log: Callable[[str], None] = silent,
    ) -> TrainResult:
        from cotdistill.students._processes import count_processes, train_on_processes
        from cotdistill.students._training import TrainingJob, train

        name = f"{type(objective).__module__}:{type(objective).__qualname__}"
        files = {"examples": examples, "out": out, "start": start, "validation": validation}
        learnt = {"name": name, **dict(objective)}
        job = TrainingJob(student=self, objective=learnt, settings=settings, seed=seed, **files)
        count = count_processes(settings)
        away = LAUNCHER.get() is not None and settings.processes != 1
        if settings.processes == "auto":
            there = "GPUs of the cluster" if away else "accelerators that are visible"
            log(f"`train.processes: auto` trains on {count}, by the {there}")
        if (count > 1 or away) and "WORLD_SIZE" not in os.environ:
            return train_on_processes(job, count, on_progress, log)
        result = train(job, score, on_progress, log)
        give_back(cycles=result.parameters >= _LARGE)
        return result

    def trial(self, examples: Sequence[Example], settings: TrainSettings) -> Trial:
        from cotdistill.students._trial import try_student

        return try_student(self, examples, settings)

    def pace(
        self, examples: Sequence[Example], settings: TrainSettings, engine: EnginePlugin
    ) -> Pace | None:
        from cotdistill.students._pace import measure_pace

        return measure_pace(self, examples, settings, engine)

    def engine(self, checkpoint: Path | None, engine: EnginePlugin, *, seed: int = 0) -> Engine:
        from cotdistill.students._loading import load_engine

        if checkpoint is not None:
            return load_engine(self, checkpoint, engine)
        plain = self.model_copy(update={"prompt_end": "", "target_begin": ""})
        return load_engine(plain, None, engine, seed)

    def preview(self, examples: Sequence[Example], settings: TrainSettings, count: int = 3) -> str:
        from cotdistill.students._preview import preview_examples

        return preview_examples(examples, self, settings, count)
