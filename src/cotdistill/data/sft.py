"""A training set as other trainers read it: JSON Lines or Parquet, with a data card.

    messages            {"messages": [{"role": "user", "content": …}, {"role": "assistant", …}]}
    prompt-completion   {"prompt": …, "completion": …}
    alpaca              {"instruction": …, "input": "", "output": …}

One file for each model role that a method trains; the card's front matter names them, so that
`datasets.load_dataset(FOLDER, ROLE)` reads one. A student's own prompt format is not in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml

from cotdistill.data.writing import Write, row_file
from cotdistill.errors import DataError
from cotdistill.records import Example
from cotdistill.util.files import write_text

if TYPE_CHECKING:
    import pyarrow

Format: TypeAlias = Literal["messages", "prompt-completion", "alpaca"]


def _row(form: Format, prompt: str, target: str) -> dict[str, Any]:
    if form == "messages":
        turns = (("user", prompt), ("assistant", target))
        return {"messages": [{"role": role, "content": text} for role, text in turns]}
    if form == "alpaca":
        return {"instruction": prompt, "input": "", "output": target}
    return {"prompt": f"{prompt}\n", "completion": target}


def _schema(form: Format) -> pyarrow.Schema:
    import pyarrow

    turn = pyarrow.struct({"role": pyarrow.string(), "content": pyarrow.string()})
    fields = _row(form, "", "")
    lists = isinstance(fields.get("messages"), list)
    return pyarrow.schema({n: pyarrow.list_(turn) if lists else pyarrow.string() for n in fields})


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
    ending, counts = "parquet" if parquet else "jsonl", Counter[str]()
    schema = _schema(form) if parquet else None
    with ExitStack() as stack:
        files: dict[str, Write] = {}
        for one in examples:
            if one.role not in files:
                file = row_file(folder / f"{one.role}.{ending}", schema)
                files[one.role] = stack.enter_context(file)
            files[one.role](_row(form, one.prompt, one.target))
            counts[one.role] += 1
        if not counts:
            raise DataError(f"{folder}: no rationale was kept, so there is nothing to write")
    front = {
        "license": licence,
        "task_categories": ["text-generation"],
        "tags": ["chain-of-thought", "distillation", "synthetic"],
        "configs": [
            {"config_name": role, "data_files": f"{role}.{ending}"} for role in sorted(counts)
        ],
    }
    write_text(folder / "README.md", _card(front, form, counts, facts or {}, dropped or {}))
    return dict(counts)


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
