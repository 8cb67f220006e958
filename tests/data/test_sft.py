"""Training sets as `datasets`, the transformers Trainer and trl read them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.data.sft import Format, write_sft
from cotdistill.errors import DataError
from cotdistill.records import Example
from cotdistill.testing.tiny import tiny_checkpoint

FORMS: tuple[Format, ...] = ("messages", "prompt-completion", "alpaca")
EXAMPLES = [
    Example(role, f"What is {n} + 1?", f"{n} + 1 = {n + 1}. --> {n + 1}")
    for role in ("solver", "asker")
    for n in range(8)
]
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def loaded(folder: Path, role: str = "solver") -> Any:
    import datasets

    return datasets.load_dataset(str(folder), role)["train"]


def text_of(row: dict[str, Any]) -> tuple[str, str]:
    """Prompt and target of a row in any of the formats."""
    if "messages" in row:
        first, second = row["messages"]
        assert (first["role"], second["role"]) == ("user", "assistant")
        return first["content"], second["content"]
    if "prompt" in row:
        return row["prompt"].rstrip("\n"), row["completion"]
    assert row["input"] == ""
    return row["instruction"], row["output"]


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_datasets_reads_every_format(tmp_path: Path, form: Format, parquet: bool) -> None:
    counts = write_sft(EXAMPLES, tmp_path / "sft", form, parquet=parquet)
    assert counts == {"solver": 8, "asker": 8}
    for role in counts:
        rows = [text_of(row) for row in loaded(tmp_path / "sft", role)]
        assert rows == [(one.prompt, one.target) for one in EXAMPLES if one.role == role]


def test_the_card_says_what_the_hub_and_a_reader_need(tmp_path: Path) -> None:
    facts = {"Teacher": "openai, <b>gpt</b>\n# not a `heading`"}
    dropped = {"answer_match: wrong answer": 3, "length: too long": 5}
    write_sft(EXAMPLES, tmp_path, "alpaca", licence="mit", facts=facts, dropped=dropped)
    card = (tmp_path / "README.md").read_text("utf-8")
    _, front, body = card.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert (fields["license"], fields["task_categories"]) == ("mit", ["text-generation"])
    assert {"config_name": "solver", "data_files": "solver.jsonl"} in fields["configs"]
    assert "- **Teacher:** `openai, <b>gpt</b> # not a 'heading'`" in body
    assert body.index("5 × `length: too long`") < body.index("3 × `answer_match: wrong answer`")
    assert "**Examples for `asker`:** 8" in body
    assert 'load_dataset("FOLDER", "asker")' in body


def test_no_rationales_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rationale was kept"):
        write_sft([], tmp_path, "messages")


def base(folder: Path) -> Path:
    checkpoint = tiny_checkpoint(folder / "base", "qwen2")
    (checkpoint / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    return checkpoint


@pytest.mark.parametrize("form", FORMS)
def test_the_trainer_of_transformers_takes_a_step(tmp_path: Path, form: Format) -> None:
    import transformers

    write_sft(EXAMPLES, tmp_path / "sft", form)
    checkpoint = base(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    rows = loaded(tmp_path / "sft")

    def tokens(row: dict[str, Any]) -> dict[str, Any]:
        if "messages" in row:
            text = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        else:
            text = "\n".join(text_of(row)) + tokenizer.eos_token
        return dict(tokenizer(text))

    trainer = transformers.Trainer(
        transformers.AutoModelForCausalLM.from_pretrained(checkpoint),
        transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"),
            max_steps=1,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
        ),
        transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False),
        rows.map(tokens, remove_columns=rows.column_names),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    assert 0 < trainer.train().training_loss < 100


@pytest.mark.filterwarnings("default")  # trl's own
@pytest.mark.parametrize("form", FORMS)
def test_trl_takes_a_step(tmp_path: Path, form: Format) -> None:
    if importlib.util.find_spec("trl") is None:
        pytest.skip("trl is not installed: pip install trl")
    import transformers
    import trl

    write_sft(EXAMPLES, tmp_path / "sft", form)
    checkpoint = base(tmp_path)
    trainer = trl.SFTTrainer(
        str(checkpoint),
        args=trl.SFTConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=1,
            report_to=[],
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            save_strategy="no",
        ),
        train_dataset=loaded(tmp_path / "sft"),
        # Rows of this form are no text yet: every trainer puts its own template around them.
        formatting_func=(lambda row: "\n".join(text_of(row))) if form == "alpaca" else None,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    assert 0 < trainer.train().training_loss < 100
