"""A training set as other trainers read it: JSON Lines or Parquet, with a data card.

    messages            {"messages": [{"role": "user", "content": …}, {"role": "assistant", …}]}
    prompt-completion   {"prompt": …, "completion": …}
    alpaca              {"instruction": …, "input": "", "output": …}

One file for each model role that a method trains; the card's front matter names them, so that
`datasets.load_dataset(FOLDER, ROLE)` reads one. A student's own prompt format is not in them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from cotdistill.errors import DataError
from cotdistill.records import Example
from cotdistill.util.files import write_jsonl, write_text

Format: TypeAlias = Literal["messages", "prompt-completion", "alpaca"]


def _row(form: Format, prompt: str, target: str) -> dict[str, Any]:
    if form == "messages":
        turns = (("user", prompt), ("assistant", target))
        return {"messages": [{"role": role, "content": text} for role, text in turns]}
    if form == "alpaca":
        return {"instruction": prompt, "input": "", "output": target}
    return {"prompt": f"{prompt}\n", "completion": target}


def write_sft(
    examples: Iterable[Example],
    folder: Path,
    form: Format,
    *,
    parquet: bool = False,
    licence: str = "unknown",
    facts: Mapping[str, str] | None = None,
    dropped: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Write the examples of every role to a file of its own, and the card; return their counts.

    Args:
        facts: what the card says of the data, such as "Teacher", in order.
        dropped: rationales that were not kept, by "filter: reason".

    Raises:
        DataError: there are no examples.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for example in examples:
        rows.setdefault(example.role, []).append(_row(form, example.prompt, example.target))
    if not rows:
        raise DataError(f"{folder}: no rationale was kept, so there is nothing to write")
    for role, own in rows.items():
        path = folder / f"{role}.jsonl"
        write_jsonl(path, own)
        if parquet:
            import datasets

            datasets.Dataset.from_list(own).to_parquet(str(path.with_suffix(".parquet")))
            path.unlink()
    counts = {role: len(own) for role, own in rows.items()}
    ending = "parquet" if parquet else "jsonl"
    front = {
        "license": licence,
        "task_categories": ["text-generation"],
        "tags": ["chain-of-thought", "distillation", "synthetic"],
        "configs": [
            {"config_name": role, "data_files": f"{role}.{ending}"} for role in sorted(counts)
        ],
    }
    write_text(folder / "README.md", _card(front, form, counts, facts or {}, dropped or {}))
    return counts


def _card(
    front: Mapping[str, Any],
    form: Format,
    counts: Mapping[str, int],
    facts: Mapping[str, str],
    dropped: Mapping[str, int],
) -> str:
    """Return the README.md of a data set as the Hugging Face hub reads it."""
    role = min(counts)
    lines = [
        f"---\n{yaml.safe_dump(dict(front), sort_keys=False)}---\n",
        "# Rationales of a large language model\n",
        f"Made with cotdistill. Each row is in the format `{form}`.\n",
        *(f"- **{name}:** {_inline(text)}" for name, text in facts.items()),
        *(f"- **Examples for `{name}`:** {count}" for name, count in sorted(counts.items())),
        "\n## Dropped rationales\n",
        *(f"- {count} × {_inline(reason)}" for reason, count in Counter(dropped).most_common()),
        *([] if dropped else ["None."]),
        "\n## How to load it\n",
        "```python",
        "from datasets import load_dataset\n",
        f'rows = load_dataset("FOLDER", "{role}")["train"]',
        "```\n",
    ]
    return "\n".join(lines)


def _inline(text: str) -> str:
    """Return a text on one line in which Markdown and HTML have no meaning."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
