"""The tokenizer: exact round trips, whole words of the lab, single digits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from cotdistill.checkpoints.bundled import locate
from cotdistill.lab.generated import DRAWS
from cotdistill.lab.problem import question_at


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(locate("lab"))


@given(st.text())
def test_any_text_comes_back(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_digits_stand_alone(tokenizer: Any) -> None:
    assert tokenizer.tokenize("x 1234") == ["x", "Ġ1", "2", "3", "4"]


@pytest.mark.parametrize("task", sorted(DRAWS))
def test_words_of_the_lab_are_one_token(tokenizer: Any, task: str) -> None:
    for index in range(30):
        text = " " + question_at(DRAWS[task], task, "test", index, 0).text
        assert all(
            piece.startswith("Ġ") or not piece.isalpha() for piece in tokenizer.tokenize(text)
        )


def test_both_models_share_it_and_keep_end_and_padding_apart(tokenizer: Any) -> None:
    assert AutoTokenizer.from_pretrained(locate("lab-teacher")).get_vocab() == tokenizer.get_vocab()
    assert tokenizer.eos_token == "<|end|>" and tokenizer.pad_token == "<|pad|>"
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
