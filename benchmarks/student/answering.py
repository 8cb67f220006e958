"""Answers per second of our decoding loop against `generate` of transformers, on questions whose answers differ in length.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/student/answering.py [--checkpoint FOLDER] [--samples 8]

Without a checkpoint the bundled teacher of the lab answers its own word problems (greedy; with samples at T = 0.7).
Seconds are processor seconds of one thread.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice

import torch
import transformers

from cotdistill.checkpoints.bundled import locate
from cotdistill.contracts import Task
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.plugins import build
from cotdistill.records import Request

BATCH, LIMIT = 64, 128


def ours(checkpoint: str, prompts: list[str], samples: int) -> tuple[float, int]:
    engine = TransformersEngine(batch_size=BATCH).load(checkpoint, target_begin=" ")
    heat = 0.7 if samples > 1 else 0.0
    batch = [
        (Request(p, max_tokens=LIMIT, temperature=heat), index)
        for p in prompts
        for index in range(samples)
    ]
    began = time.process_time()
    completions = engine.generate(batch)
    return time.process_time() - began, sum(c.completion_tokens for c in completions)


def transformers_generate(checkpoint: str, prompts: list[str], samples: int) -> tuple[float, int]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint, padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32
    ).eval()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    prompts = sorted(prompts, key=len)
    sampling = (
        {"do_sample": True, "temperature": 0.7, "num_return_sequences": samples}
        if samples > 1
        else {"do_sample": False}
    )
    step = max(1, BATCH // samples)
    made = 0
    began = time.process_time()
    for start in range(0, len(prompts), step):
        inputs = tokenizer(prompts[start : start + step], return_tensors="pt", padding=True)
        inputs.pop("token_type_ids", None)
        output = model.generate(
            **inputs, max_new_tokens=LIMIT, pad_token_id=tokenizer.pad_token_id, **sampling
        )
        new = output[:, inputs["input_ids"].shape[1] :]
        tokenizer.batch_decode(new, skip_special_tokens=True)
        made += int((new != tokenizer.pad_token_id).sum())
    return time.process_time() - began, made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default=str(locate("lab-teacher")))
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--questions", type=int, default=128)
    options = parser.parse_args()
    task = build("tasks", "word_problems", Task)
    texts = [question.text for question in islice(task.questions("test"), options.questions)]
    prompts = [f"Q: {text}\nA: Let's think step by step." for text in texts]
    for name, run in (("ours", ours), ("transformers generate", transformers_generate)):
        seconds, tokens = run(options.checkpoint, prompts, options.samples)
        answers = len(prompts) * options.samples
        print(
            f"{name:24} {seconds:6.1f} s  {answers / seconds:7.1f} answers/s  {tokens / seconds:8.0f} tokens/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
