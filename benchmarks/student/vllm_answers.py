"""Compare vLLM's greedy answers with those of the engine `transformers`, and a batch with its
items.

    VLLM_CPU_KVCACHE_SPACE=2 python benchmarks/student/vllm_answers.py QUESTIONS --count 32

QUESTIONS is a file of rows with `question`. The packages it needs stand in README.md.
"""

import argparse
import json
from itertools import islice

from cotdistill.data.rows import rows
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.engines.vllm import VllmEngine
from cotdistill.records import Completion, Request


def main() -> None:
    """Print what agrees as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    asked = [row.fields["question"] for row in islice(rows(options.questions), options.count)]
    batch = [(Request(text, max_tokens=options.tokens), 0) for text in asked]
    engine = VllmEngine(
        dtype=options.dtype, max_model_len=1024, engine_args={"enforce_eager": True}
    ).load("smollm2", chat=True)
    found = engine.generate(batch)
    alone = [engine.generate([one])[0] for one in batch[:6]]
    exact = TransformersEngine(dtype="float32").load("smollm2", chat=True).generate(batch)
    same = sum(_text(one) == _text(other) for one, other in zip(found, exact, strict=True))
    as_batch = sum(_text(one) == _text(other) for one, other in zip(alone, found, strict=False))
    told = {
        "texts of transformers in float32": same,
        "of": len(batch),
        "alone as in the batch": as_batch,
    }
    print(json.dumps({"dtype": options.dtype, **told, "of the first": len(alone)}))


def _text(made: object) -> str:
    assert isinstance(made, Completion), made
    return made.text


if __name__ == "__main__":
    main()
