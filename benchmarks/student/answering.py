"""Answers per second of our decoding loop against `generate` of transformers, on questions whose
answers differ in length.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/student/answering.py [--samples 8]
    … --checkpoint smollm2 --chat --questions 16 --batch 8 --limit 48 --turns 2

The bundled teacher of the lab, or another checkpoint, answers the lab's word problems (greedy; with
samples at T = 0.7). With `--turns 2` our loop then asks every question again, its answer and a
second instruction behind it. Seconds are processor seconds of all threads.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from typing import Any

import torch

from cotdistill.contracts import Task
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.plugins import build
from cotdistill.records import Request


def report(name: str, seconds: float, answers: int, tokens: int) -> None:
    print(
        f"{name:24} {seconds:6.1f} s  {answers / seconds:7.2f} answers/s  "
        f"{tokens / seconds:8.0f} tokens/s",
        flush=True,
    )


def ours(engine: Any, prompts: list[str], options: argparse.Namespace) -> None:
    heat = 0.7 if options.samples > 1 else 0.0
    for turn in range(options.turns):
        batch = [
            (Request(prompt, max_tokens=options.limit, temperature=heat), index)
            for prompt in prompts
            for index in range(options.samples)
        ]
        began = time.process_time()
        completions = engine.generate(batch)
        seconds = time.process_time() - began
        tokens = sum(completion.completion_tokens for completion in completions)
        report(f"ours, turn {turn + 1}", seconds, len(batch), tokens)
        texts = [completion.text for completion in completions[:: options.samples]]
        prompts = [
            f"{prompt} {text}\nTherefore, the answer (a number) is"
            for prompt, text in zip(prompts, texts, strict=True)
        ]


def transformers_generate(engine: Any, prompts: list[str], options: argparse.Namespace) -> None:
    tokenizer, model = engine.codec.tokenizer, engine.model
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    ids = sorted((engine.codec.prompt_ids(prompt) for prompt in prompts), key=len)
    sampling: dict[str, Any] = {"do_sample": options.samples > 1}
    if options.samples > 1:
        sampling |= {"temperature": 0.7, "num_return_sequences": options.samples}
    step, made = max(1, options.batch // options.samples), 0
    began = time.process_time()
    for start in range(0, len(ids), step):
        inputs = tokenizer.pad({"input_ids": ids[start : start + step]}, return_tensors="pt")
        output = model.generate(
            **inputs, max_new_tokens=options.limit, pad_token_id=tokenizer.pad_token_id, **sampling
        )
        new = output[:, inputs["input_ids"].shape[1] :]
        tokenizer.batch_decode(new, skip_special_tokens=True)
        made += int((new != tokenizer.pad_token_id).sum())
    report(
        "transformers generate", time.process_time() - began, len(prompts) * options.samples, made
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default="lab-teacher")
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--questions", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--limit", type=int, default=128)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--only-ours", action="store_true")
    options = parser.parse_args()
    task = build("tasks", "word_problems", Task)
    texts = [question.text for question in islice(task.questions("test"), options.questions)]
    prompts = [f"Q: {text}\nA: Let's think step by step." for text in texts]
    engine = TransformersEngine(batch_size=options.batch, dtype=options.dtype).load(
        options.checkpoint, target_begin="" if options.chat else " ", chat=options.chat
    )
    torch.manual_seed(0)
    ours(engine, prompts, options)
    if not options.only_ours:
        transformers_generate(engine, prompts, options)


if __name__ == "__main__":
    main()
