"""Thinking and reply apart; what chat templates write around them."""

from __future__ import annotations

import pytest

from cotdistill.text.thinking import split_thinking


@pytest.mark.parametrize(
    "text",
    [
        "Eleven.<|im_end|>",
        "Eleven.<|END_OF_TURN_TOKEN|>more",
        "Eleven.<|user|>\nAnd now?",
        "Eleven.<｜end▁of▁sentence｜>",
        "<|im_start|>assistant\nEleven.<|im_end|>",
        "<|begin_of_text|><|start_header_id|>assistant<|end_header_id|>\n\nEleven.<|eot_id|>",
        "<|assistant|>\nEleven.",
        "<start_of_turn>model\nEleven.<end_of_turn>",
        "<|channel|>final<|message|>Eleven.<|return|>",
    ],
)
def test_a_reply_without_the_marks_of_its_turn(text: str) -> None:
    assert split_thinking(text) == ("", "Eleven.")


@pytest.mark.parametrize(
    "text",
    [
        "<think>3 + 8</think>Eleven.<|im_end|>",
        "<|channel|>analysis<|message|>3 + 8<|end|><|start|>assistant"
        "<|channel|>final<|message|>Eleven.<|return|>",
        "<|start|>assistant<|channel|>analysis<|message|>3 + 8<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Eleven.",
    ],
)
def test_thinking_and_reply(text: str) -> None:
    assert split_thinking(text) == ("3 + 8", "Eleven.")


@pytest.mark.parametrize("text", ["a <| b |> c", "x <|> y", "1 <2> 3", "a<|b c|>d"])
def test_what_is_no_mark_stays(text: str) -> None:
    assert split_thinking(text) == ("", text)


@pytest.mark.parametrize("text", ["<|channel|>analysis<|message|>3 + 8", "<think>3 + 8"])
def test_thinking_that_was_cut(text: str) -> None:
    assert split_thinking(text) == ("3 + 8", "")
