"""Processor time of CTranslate2 by its threads: a batch on several, or workers with a part each.

    CT2_FORCE_CPU_ISA=AVX2 python benchmarks/performance/threads.py --dtype int8 --inter 2 \\
        --questions ../shared/data/benchmarks/gsm8k/test.jsonl

SmolLM2-135M reads 8 questions, and writes 7 tokens to each, greedily. The first pass is not timed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import ctranslate2

from cotdistill.checkpoints.loading import checkpoint_fingerprint, load_config, load_tokenizer
from cotdistill.checkpoints.text import TextCodec
from cotdistill.engines._converted import convert_once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--intra", type=int, default=1, help="threads of a batch")
    parser.add_argument("--inter", type=int, default=1, help="workers, with a part of it each")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=7)
    options = parser.parse_args()
    mark = checkpoint_fingerprint("smollm2", load_config("smollm2"))
    folder, ends = convert_once("smollm2", mark, options.dtype)
    model = ctranslate2.Generator(
        str(folder),
        device="cpu",
        compute_type=options.dtype,
        intra_threads=options.intra,
        inter_threads=options.inter,
    )
    codec = TextCodec(load_tokenizer("smollm2"), chat=True)
    lines = options.questions.read_text("utf-8").splitlines()[: options.count]
    prompts = [codec.prompt_ids(json.loads(one)["question"]) for one in lines]
    words = [codec.tokenizer.convert_ids_to_tokens(ids) for ids in prompts]

    def seconds(tokens: int) -> tuple[float, float]:
        began, clock = time.process_time(), time.perf_counter()
        model.generate_batch(
            words,
            max_length=tokens,
            beam_size=1,
            end_token=ends,
            include_prompt_in_result=False,
            max_batch_size=-(-len(words) // options.inter),
        )
        return time.process_time() - began, time.perf_counter() - clock

    seconds(1)
    reading, (whole, clock) = seconds(1)[0], seconds(options.tokens)
    each = 1000 * reading / sum(map(len, prompts))
    print(
        f"{options.dtype}, {options.intra} threads, {options.inter} workers: prompts {each:.2f} ms "
        f"a token; all {whole:.1f} s of processor time, {clock:.1f} s by the clock"
    )


if __name__ == "__main__":
    main()
