"""distilabel 1.5.3: a pipeline of one TextGeneration step. Prints one line of JSON. Runs in its own
environment."""

from __future__ import annotations

import json
import sys
import time


def main(options: dict) -> dict:
    """So many rows; `input_batch_size` is what limits the requests under way."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    rows = [
        {
            "instruction": (
                f"Q: Number {n}: how many apples are in the basket of the third "
                "girl?\nA: Let's think step by step."
            )
        }
        for n in range(options["count"])
    ]
    began = time.perf_counter()
    with Pipeline(name="bench", cache_dir=options["folder"]) as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=options["max_concurrency"])
        llm = OpenAILLM(
            model="m",
            base_url=options["base_url"],
            api_key="x",
            generation_kwargs={"temperature": 0.7},
        )
        load >> TextGeneration(llm=llm, input_batch_size=options["max_concurrency"])
    made = pipeline.run(use_cache=True)
    texts = made["default"]["train"]["generation"]
    return {
        "answered": sum(text is not None for text in texts),
        "rows": len(texts),
        "seconds": time.perf_counter() - began,
    }


if __name__ == "__main__":
    print("RESULT " + json.dumps(main(json.loads(sys.argv[1]))))
