"""data-designer 0.9: one LLM text column over seed rows. Prints one line of JSON. Runs in its own
environment."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(options: dict) -> dict:
    """So many rows of one generated column."""
    os.environ |= {"NEMO_TELEMETRY_ENABLED": "false", "OPENAI_API_KEY": "x", "HF_HUB_OFFLINE": "1"}
    import data_designer.config as dd
    import pandas as pd
    from data_designer.interface import DataDesigner

    folder = Path(options["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"number": [str(n) for n in range(options["count"])]})
    frame.to_parquet(folder / "seed.parquet")
    provider = dd.ModelProvider(
        name="sim", endpoint=options["base_url"], provider_type="openai", api_key="x"
    )
    began = time.perf_counter()
    designer = DataDesigner(model_providers=[provider], artifact_path=folder / "artifacts")
    inference = dd.ChatCompletionInferenceParams(
        temperature=0.7, max_tokens=256, max_parallel_requests=options["max_concurrency"]
    )
    model = dd.ModelConfig(
        alias="m", model="m", provider="sim", inference_parameters=inference, skip_health_check=True
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(dd.LocalFileSeedSource(path=str(folder / "seed.parquet")))
    builder.add_column(
        dd.LLMTextColumnConfig(
            name="response",
            prompt=(
                "Q: Number {{ number }}: how many apples are in the basket of the third "
                "girl?\nA: Let's think step by step."
            ),
            model_alias="m",
        )
    )
    made = designer.create(
        builder, num_records=options["count"], dataset_name="bench"
    ).load_dataset()
    answered = int(made["response"].notna().sum())
    return {"answered": answered, "rows": len(made), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print("RESULT " + json.dumps(main(json.loads(sys.argv[1]))))
