"""bespokelabs-curator 0.1.31 with its limits lifted. Prints one line of JSON. Runs in its own
environment.

It counts tokens with tiktoken, which downloads its table at start; a stand-in replaces it so that
it starts offline.
"""

from __future__ import annotations

import json
import os
import sys
import time


class _Words:
    n_vocab = 100_000

    def encode(self, text: str, **settings: object) -> list[int]:
        return [0] * (len(text) // 4 + 1)


def main(options: dict) -> dict:
    """So many rows through one `LLM`."""
    os.environ |= {"TELEMETRY_ENABLED": "false", "OPENAI_API_KEY": "x", "HF_HUB_OFFLINE": "1"}
    os.environ["CURATOR_CACHE_DIR"] = options["folder"]
    os.environ["CURATOR_DISABLE_CACHE"] = ""
    import tiktoken

    tiktoken.get_encoding = tiktoken.encoding_for_model = lambda *name: _Words()
    from bespokelabs import curator
    from datasets import Dataset

    rows = Dataset.from_list(
        [
            {
                "text": (
                    f"Q: Number {n}: how many apples are in the basket of the third "
                    "girl?\nA: Let's think step by step."
                )
            }
            for n in range(options["count"])
        ]
    )

    class Teacher(curator.LLM):
        def prompt(self, row: dict) -> str:
            return row["text"]

        def parse(self, row: dict, response: str) -> dict:
            return {"text": row["text"], "response": response}

    began = time.perf_counter()
    teacher = Teacher(
        model_name="openai/m",
        backend="openai",
        backend_params={
            "base_url": options["base_url"],
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
            "max_concurrent_requests": options["max_concurrency"],
            "require_all_responses": False,
        },
        generation_params={"temperature": 0.7},
    )
    made = teacher(rows)
    made = made.dataset if hasattr(made, "dataset") else made
    answered = sum(text is not None for text in made["response"])
    return {"answered": answered, "rows": len(made), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print("RESULT " + json.dumps(main(json.loads(sys.argv[1]))))
