"""From settings to models: formats of both families, random models, the real Flan-T5 tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.contracts import TrainSettings
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.errors import UserError
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.records import Example, Request
from cotdistill.students._data import out_of_vocabulary, prepare
from cotdistill.students._loading import build_base
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint, train_on

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


def tokens_of(student: TransformersStudent, prompt: str, target: str) -> tuple[str, str]:
    _, codec = build_base(student)
    example = Example("s", prompt, target)
    (row,) = prepare([example], codec, CrossEntropy(), TrainSettings()).rows
    return codec.tokenizer.decode(row.prompt), codec.tokenizer.decode(row.targets[0])


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
            ("Is it?\n\n###\n\n", "3 + 8 --> 11<|endoftext|>"),
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
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path, family)), **settings)
    assert tokens_of(student, "Is it?", "3 + 8 --> 11") == expected


def test_a_chat_student_learns_and_answers_through_its_template(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "base", "qwen2")
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}A:{% endif %}"
    )
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    student = TransformersStudent(model=str(folder), format="chat")
    assert tokens_of(student, "Is it?", "11") == ("user: Is it?\nA:", "11<|im_end|>")
    settings = TrainSettings(epochs=1, batch_size=4, learning_rate=1e-2, selection="last")
    out = tmp_path / "out"
    train_on([Example("s", "Is it?", "It is 11.")] * 160, student, settings, out)
    engine = student.engine(out, TransformersEngine())
    assert engine.generate([(Request("Is it?", max_tokens=20), 0)])[0].text == "It is 11."


def test_random_flan_t5_with_its_real_tokenizer(shared_data: Path, tmp_path: Path) -> None:
    student = TransformersStudent(
        config=SMALL_T5, tokenizer=str(shared_data / "tokenizers" / "flan-t5" / "spiece.model")
    )
    _, codec = build_base(student)
    lost = out_of_vocabulary(["3 + 8 = <<3+8=11>>11\n#### 11", "{x}"], codec)
    assert lost == {"<": 2, "\n": 1, "{": 1, "}": 1}
    assert out_of_vocabulary(["Ana starts with 3 apples. 3 + 8 = 11. --> 11"], codec) == {}
    settings = TrainSettings(epochs=1, batch_size=2, selection="last")
    examples = [Example("s", "How many?", "It is 11. --> 11")] * 4
    train_on(examples, student, settings, tmp_path / "out")
    engine = student.engine(tmp_path / "out", TransformersEngine())
    rows = [
        (Request("How many?", max_tokens=9, temperature=1.0, prefill=prefill), 0)
        for prefill in ("", "It is 11. -->")
    ]
    first, second = engine.generate(rows)
    assert second.text.startswith("It is 11. -->")
    assert [engine.generate([row])[0].text for row in rows] == [first.text, second.text]


def test_models_that_cannot_be_built(tmp_path: Path) -> None:
    base = str(tiny_checkpoint(tmp_path / "base", "gpt2"))
    small = {"model_type": "gpt2", "vocab_size": 9}
    for settings, message in (
        (
            {"config": {"model_type": "nothing"}, "tokenizer": base},
            "Unrecognized model identifier: nothing",
        ),
        ({"config": small, "tokenizer": base}, "vocab_size 9"),
        ({"config": str(tmp_path / "absent"), "tokenizer": base}, "absent"),
        ({"config": SMALL_T5, "tokenizer": str(tmp_path / "spiece.model")}, "no such file"),
        ({"model": str(tmp_path / "absent")}, "no such folder"),
    ):
        with pytest.raises(UserError, match=message):
            build_base(TransformersStudent(**settings))
    with pytest.raises(UserError, match="absent"):
        TransformersStudent(model=str(tmp_path / "absent")).engine(None, TransformersEngine())


def test_quantized_weights_are_not_trained(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "model", "llama")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"its weights are quantized \(gptq\) and cannot be tra"):
        build_base(TransformersStudent(model=str(folder)))
