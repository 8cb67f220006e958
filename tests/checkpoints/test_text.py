"""Between text and tokens: growing text is exact, continuations keep their spacing."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cotdistill.checkpoints.loading import load_tokenizer
from cotdistill.checkpoints.text import GrowingText, TextCodec
from cotdistill.testing.tiny import tiny_checkpoint


@pytest.fixture(scope="module", params=["llama", "t5"])
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextCodec:
    folder = tiny_checkpoint(tmp_path_factory.mktemp(request.param), request.param)
    return TextCodec(load_tokenizer(folder), " ###", " ", encoder_decoder=request.param == "t5")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ids=st.lists(st.integers(0, 80), max_size=25), context=st.lists(st.integers(0, 80), max_size=6)
)
def test_text_that_grows_token_by_token_is_the_text_of_all_tokens(
    codec: TextCodec, ids: list[int], context: list[int]
) -> None:
    growing = GrowingText(codec, context, "")
    for token in ids:
        growing.add(token)
    whole = codec.after(context, ids)
    assert whole.startswith(growing.text)
    assert growing.text == whole or whole[len(growing.text) :].endswith("�")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=30))
def test_any_text_survives_a_byte_level_tokenizer(codec: TextCodec, text: str) -> None:
    ids = codec.continuation_ids("before", text)
    assert codec.encoder_decoder or codec.decode(ids) == text
    growing = GrowingText(codec, [], "")
    for token in ids:
        growing.add(token)
    assert growing.text == codec.decode(ids)


@pytest.mark.parametrize("text", ["Ana has 3", " Ana has 3", "11.", "= 11"])
def test_a_continuation_has_the_spacing_it_was_given(codec: TextCodec, text: str) -> None:
    before = codec.continuation_ids("", "3 + 8")
    after = codec.continuation_ids("3 + 8", text)
    assert codec.after(before, after) == text


def test_no_second_white_space_after_a_prompt_that_ends_in_one() -> None:
    class Plain:
        chat_template = None

    codec = TextCodec(Plain(), "", " ")
    assert codec.target_lead("Next step:") == " "
    assert codec.target_lead("Next step:\n") == ""
