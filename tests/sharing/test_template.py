"""The chat template of an exported student makes the very tokens of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from jinja2.exceptions import TemplateError
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from cotdistill.checkpoints.loading import load_tokenizer
from cotdistill.checkpoints.text import TextCodec
from cotdistill.errors import UserError
from cotdistill.sharing.template import chat_template
from cotdistill.testing.tiny import Family, tiny_checkpoint

PROMPTS = [
    "Ana has 3 apples.",
    "two\nlines\n",
    'with "quotes", {{ braces }} and {% tags %}',
    " a space in front",
    "a space behind ",
    "emoji 😀, é, \\n, a  b, tab\t",
    "predict: " + "x" * 300,
]
ENDS = [" ###", "\n\n###\n\n", "", ' "{{ 1 }}" \\ 😀 ###']


def codec(folder: Path, family: Family, **format: Any) -> TextCodec:
    tokenizer = load_tokenizer(tiny_checkpoint(folder / family, family))
    return TextCodec(tokenizer, encoder_decoder=family == "t5", **format)


def rendered(codec: TextCodec, template: str, *turns: tuple[str, str]) -> Any:
    messages = [{"role": role, "content": content} for role, content in turns]
    return codec.tokenizer.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, return_dict=False
    )


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2", "t5"])
def test_a_user_message_is_a_training_prompt(tmp_path: Path, family: Family) -> None:
    plain = codec(tmp_path, family, target_begin=" ")
    for end in ENDS:
        own = replace(plain, prompt_end=end)
        template = chat_template(own, PROMPTS[:1])
        for prompt in PROMPTS:
            assert rendered(own, template, ("user", prompt)) == own.prompt_ids(prompt)


@pytest.mark.parametrize("scheme", ["first", "always"])
def test_sentencepiece_spaces_behind_a_begin_token(scheme: str) -> None:
    core = tokenizers.Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    core.decoder = decoders.Metaspace(prepend_scheme=scheme)
    special = ["<unk>", "<s>", "</s>"]
    options: Any = {"special_tokens": special, "vocab_size": 200, "show_progress": False}
    core.train_from_iterator(PROMPTS, trainers.BpeTrainer(**options))
    around: Any = {"single": "<s> $A", "special_tokens": [("<s>", 1)]}
    core.post_processor = processors.TemplateProcessing(**around)
    named: Any = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    own = TextCodec(transformers.PreTrainedTokenizerFast(tokenizer_object=core, **named), " ###")
    template = chat_template(own, PROMPTS)
    assert [rendered(own, template, ("user", p)) for p in PROMPTS] == [
        own.prompt_ids(p) for p in PROMPTS
    ]


def test_an_assistant_message_is_a_target(tmp_path: Path) -> None:
    own = codec(tmp_path, "llama", prompt_end=" ###", target_begin=" ")
    template = chat_template(own, PROMPTS)
    ids = rendered(own, template, ("user", "How many?"), ("assistant", "3 + 8 = 11. --> 11"))
    end = own.tokenizer.eos_token_id
    target = own.target_ids("How many?", "3 + 8 = 11. --> 11")
    assert ids == [*own.prompt_ids("How many?"), *target, end]


@pytest.mark.parametrize(
    "turns",
    [
        [("system", "Be brief."), ("user", "How many?")],
        [("user", "How many?"), ("assistant", "3"), ("user", "And now?")],
        [("user", "How many?"), ("user", "And now?")],
        [("assistant", "3")],
    ],
)
def test_what_no_training_prompt_had_is_refused(
    tmp_path: Path, turns: list[tuple[str, str]]
) -> None:
    own = codec(tmp_path, "gpt2", prompt_end=" ###")
    with pytest.raises(TemplateError, match="one question at a time"):
        rendered(own, chat_template(own, PROMPTS), *turns)


def test_a_chat_student_keeps_its_template_and_a_wrong_one_is_noticed(tmp_path: Path) -> None:
    own = codec(tmp_path, "qwen2", chat=True)
    own.tokenizer.chat_template = "{{ '<|im_end|>' + messages[0].content + '\n' }}"
    assert chat_template(own, PROMPTS) == own.tokenizer.chat_template
    own.tokenizer.add_bos_token = True
    end = own.tokenizer.eos_token
    own.tokenizer.chat_template = "{{ messages[0].content + '" + str(end) + "' }}"
    with pytest.raises(UserError, match="no chat template makes the tokens"):
        chat_template(own, PROMPTS)  # the end token is taken off a prompt, but not off a chat
