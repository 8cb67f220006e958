"""Training throughput of a lab-size student: our trainer with and without shared prompts, the plain
Trainer, trl.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/student/training.py
    pip install --target /tmp/trl --no-deps trl && PYTHONPATH=/tmp/trl ... training.py --trl

All train the same random Llama (2.1M parameters, 160 wide, 5 layers) on the same 200 word problems
× 8 rationales, one epoch, batch 16, float32. Seconds are processor seconds of one thread.
`targets/s` are learnt tokens per second, the work that is equal for all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from cotdistill.contracts import Task, TrainSettings
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.plugins import build
from cotdistill.records import Example
from cotdistill.students._data import prepare
from cotdistill.students._loading import build_base
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import train_on

QUESTIONS, RATIONALES, BATCH = 200, 8, 16


def examples() -> list[Example]:
    task = build("tasks", "word_problems", Task)
    questions = [
        question for question, _ in zip(task.questions("train"), range(QUESTIONS), strict=False)
    ]
    return [
        Example("student", q.text, f"{q.rationale} --> {q.answer}")
        for q in questions
        for _ in range(RATIONALES)
    ]


def checkpoint(folder: Path, texts: list[str]) -> Path:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|end|>", "<|pad|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>"
    )
    config = transformers.LlamaConfig(
        vocab_size=2000,
        hidden_size=160,
        intermediate_size=432,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    transformers.set_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def ours(folder: Path, data: list[Example], **settings: Any) -> Callable[[], None]:
    train = TrainSettings(
        epochs=1, batch_size=BATCH, learning_rate=1e-3, selection="last", **settings
    )
    return lambda: print(
        "   padding",
        train_on(data, TransformersStudent(model=str(folder)), train, folder / "out").padding,
    )


def rows(folder: Path, data: list[Example]) -> list[dict[str, list[int]]]:
    _, codec = build_base(TransformersStudent(model=str(folder)))
    tokens = prepare(data, codec, CrossEntropy(), TrainSettings(), 1024).rows
    return [
        {
            "input_ids": [*t.prompt, *t.targets[0]],
            "labels": [*[-100] * len(t.prompt), *t.targets[0]],
            "completion_mask": [0] * len(t.prompt) + [1] * len(t.targets[0]),
        }
        for t in tokens
    ]


def arguments(kind: Any, folder: Path, **extra: Any) -> Any:
    return kind(
        output_dir=str(folder / "hf"),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        save_strategy="no",
        logging_steps=10,
        report_to=[],
        disable_tqdm=True,
        **extra,
    )


def plain(folder: Path, data: list[Example]) -> Callable[[], None]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    items = [{key: row[key] for key in ("input_ids", "labels")} for row in rows(folder, data)]
    collate = transformers.DataCollatorForSeq2Seq(tokenizer)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    trainer = transformers.Trainer(
        model, arguments(transformers.TrainingArguments, folder), collate, items
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return lambda: trainer.train() and None


def with_trl(folder: Path, data: list[Example]) -> Callable[[], None]:
    import trl
    from datasets import Dataset

    items = [
        {key: row[key] for key in ("input_ids", "completion_mask")} for row in rows(folder, data)
    ]
    config = arguments(
        trl.SFTConfig,
        folder,
        completion_only_loss=True,
        max_length=1024,
        bf16=False,
        gradient_checkpointing=False,
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    trainer = trl.SFTTrainer(
        model, config, train_dataset=Dataset.from_list(items), processing_class=tokenizer
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return lambda: trainer.train() and None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trl", action="store_true")
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    data = examples()
    with tempfile.TemporaryDirectory() as place:
        folder = checkpoint(
            Path(place), [text for example in data for text in (example.prompt, example.target)]
        )
        targets = sum(sum(row["completion_mask"]) for row in rows(folder, data))
        tokens = sum(len(row["input_ids"]) for row in rows(folder, data))
        print(
            f"{len(data)} examples, {tokens} tokens, {targets} of them learnt; "
            f"{torch.get_num_threads()} threads"
        )
        runs = {
            "ours, every prompt anew": lambda: ours(folder, data, share_prompts=False),
            "ours, bfloat16": lambda: ours(folder, data, precision="bfloat16"),
            "transformers Trainer": lambda: plain(folder, data),
        }
        if options.trl:
            runs = {
                "transformers Trainer": runs["transformers Trainer"],
                "trl SFTTrainer": lambda: with_trl(folder, data),
            }
        for name, make in runs.items():
            best = float("inf")
            for _ in range(options.repeat):
                run = make()
                began = time.process_time()
                run()
                best = min(best, time.process_time() - began)
            print(
                (
                    f"{name:26} {best:7.1f} s  {len(data) / best:7.1f} examples/s  "
                    f"{targets / best:8.0f} targets/s"
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
