"""From settings to models: formats of both families, random models, the real Flan-T5 tokenizer, clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cotdistill.engines.transformers import ModelEngine, TransformersEngine
from cotdistill.errors import UserError
from cotdistill.records import Example, Request
from cotdistill.students._data import prepare, vanishing
from cotdistill.students.loading import build_base, codec_for, load_base, load_student
from cotdistill.students.settings import StudentSettings, TrainSettings
from cotdistill.students.train import train_role
from cotdistill.testing.tiny import tiny_checkpoint

SMALL_T5 = {
    "model_type": "t5",
    "vocab_size": 32128,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "decoder_start_token_id": 0,
    "feed_forward_proj": "gated-gelu",
}


def tokens_of(settings: StudentSettings, prompt: str, target: str) -> tuple[str, str]:
    model, tokenizer = build_base(settings, seed=0)
    codec = codec_for(settings, tokenizer, encoder_decoder=model.config.is_encoder_decoder)
    (row,) = prepare(
        [Example("s", prompt, target)], codec, max_prompt=99, max_target=99, context=None
    ).rows
    return tokenizer.decode(row.prompt), tokenizer.decode(row.target)


@pytest.mark.parametrize(
    ("family", "settings", "expected"),
    [
        ("gpt2", {}, ("Is it? ###", " 3 + 8 --> 11<|endoftext|>")),
        ("llama", {}, ("<s>Is it? ###", " 3 + 8 --> 11</s>")),
        ("qwen2", {}, ("Is it? ###", " 3 + 8 --> 11<|im_end|>")),
        ("t5", {}, ("Is it?</s>", "3 + 8 --> 11</s>")),
        (
            "gpt2",
            {"prompt_end": "\n\n###\n\n"},
            ("Is it?\n\n###\n\n", " 3 + 8 --> 11<|endoftext|>".lstrip(" ")),
        ),
        (
            "gpt2",
            {"prompt_end": "", "target_begin": "\n"},
            ("Is it?", "\n3 + 8 --> 11<|endoftext|>"),
        ),
    ],
)
def test_formats(
    tmp_path: Path, family: Any, settings: dict[str, str], expected: tuple[str, str]
) -> None:
    student = StudentSettings(model=str(tiny_checkpoint(tmp_path, family)), **settings)
    assert tokens_of(student, "Is it?", "3 + 8 --> 11") == expected


def test_a_chat_student_learns_and_answers_through_its_template(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "base", "qwen2")
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    student = StudentSettings(model=str(folder), format="chat")
    assert tokens_of(student, "Is it?", "11") == ("user: Is it?\nA:", "11<|im_end|>")
    train = TrainSettings(epochs=1, batch_size=4, learning_rate=1e-2, selection="last")
    result = train_role(
        [Example("s", "Is it?", "It is 11.")] * 160, student, train, tmp_path / "out", seed=0
    )
    engine = load_student(TransformersEngine(), student, result.checkpoint)
    assert engine.generate([(Request("Is it?", max_tokens=20), 0)])[0].text == "It is 11."


def test_random_flan_t5_with_its_real_tokenizer(shared_data: Path, tmp_path: Path) -> None:
    settings = StudentSettings(
        config=SMALL_T5, tokenizer=str(shared_data / "tokenizers" / "flan-t5" / "spiece.model")
    )
    codec = codec_for(settings, build_base(settings, seed=0)[1], encoder_decoder=True)
    assert vanishing(["3 + 8 = <<3+8=11>>11\n#### 11", "{x}"], codec) == {
        "<": 2,
        "\n": 1,
        "{": 1,
        "}": 1,
    }
    assert vanishing(["Ana starts with 3 apples. 3 + 8 = 11. --> 11"], codec) == {}
    train = TrainSettings(epochs=1, batch_size=2, selection="last")
    examples = [Example("s", "How many?", "It is 11. --> 11")] * 4
    result = train_role(examples, settings, train, tmp_path / "out", seed=0)
    engine = load_student(TransformersEngine(), settings, result.checkpoint)
    assert isinstance(engine, ModelEngine)
    rows = [
        (Request("How many?", max_tokens=9, temperature=1.0, prefill=begin), 0)
        for begin in ("", "It is 11. -->")
    ]
    first, second = engine.generate(rows)
    assert second.text.startswith("It is 11. -->")
    assert [engine.generate([row])[0].text for row in rows] == [first.text, second.text]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"config": {"model_type": "t5"}}, "needs a `tokenizer`"),
        ({"model": "x", "config": {"model_type": "t5"}, "tokenizer": "y"}, "not both"),
        ({"modle": "x"}, "modle"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StudentSettings(**settings)


def test_models_that_cannot_be_built(tmp_path: Path) -> None:
    base = str(tiny_checkpoint(tmp_path / "base", "gpt2"))
    for settings, message in (
        (StudentSettings(config={"model_type": "nothing"}, tokenizer=base), "model_type 'nothing'"),
        (
            StudentSettings(config={"model_type": "gpt2", "vocab_size": 9}, tokenizer=base),
            "vocab_size 9",
        ),
        (StudentSettings(config=str(tmp_path / "absent"), tokenizer=base), "absent"),
        (
            StudentSettings(config=SMALL_T5, tokenizer=str(tmp_path / "spiece.model")),
            "no such file",
        ),
        (StudentSettings(model=str(tmp_path / "absent")), "no such folder"),
    ):
        with pytest.raises(UserError, match=message):
            build_base(settings, seed=0)
    with pytest.raises(UserError, match="absent"):
        load_base(TransformersEngine(), StudentSettings(model=str(tmp_path / "absent")))
