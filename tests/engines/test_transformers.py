"""The transformers engine: a batch answers exactly as its items alone do, in every family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cotdistill.engines.transformers import ModelEngine, TransformersEngine
from cotdistill.errors import FatalTeacherError, QuestionFailed, UserError
from cotdistill.records import Message, Request
from cotdistill.testing.tiny import Family, tiny_checkpoint

FAMILIES: tuple[Family, ...] = ("gpt2", "llama", "qwen2", "t5")
PROMPTS = (
    "Q: Ana has 3 apples and buys 8 more. How many apples does she have now?",
    "Q: Is the coin heads up?",
    "A",
    (
        "Q: A coin is heads up. Ben flips the coin. Cleo does not flip the coin. Is the coin "
        "still heads up? "
    )
    * 2,
    "Q: Ana has 3 apples and buys 9 more. How many apples does she have now?",
    "Q: Ana has 3 apples and buys 8 more. How many now?",
)


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp(request.param), request.param, seed=1)


def load(checkpoint: Path, **settings: object) -> ModelEngine:
    engine = TransformersEngine(device="cpu", **settings).load(
        checkpoint, prompt_end=" ###", target_begin=" "
    )  # type: ignore[arg-type]
    assert isinstance(engine, ModelEngine)
    return engine


def mixed_batch() -> list[tuple[Request, int]]:
    rows: list[tuple[Request, int]] = []
    for place, prompt in enumerate(PROMPTS):
        rows.append((Request(prompt, max_tokens=8 + 5 * place), 0))
        sampled = Request(prompt, temperature=0.9, top_p=1.0 if place % 2 else 0.8, max_tokens=30)
        rows += [(sampled, index) for index in range(3)]
        rows.append(
            (Request(prompt, temperature=0.7, max_tokens=12, prefill="Ana has", stop=("e",)), 1)
        )
    return rows


def test_a_batch_answers_exactly_as_its_items_alone(checkpoint: Path) -> None:
    rows = mixed_batch()
    together = load(checkpoint, batch_size=7).generate(rows)
    alone_engine = load(checkpoint)
    alone = [alone_engine.generate([row])[0] for row in rows]
    assert [c.text for c in together] == [c.text for c in alone]
    assert [c.completion_tokens for c in together] == [c.completion_tokens for c in alone]
    assert [c.finish_reason for c in together] == [c.finish_reason for c in alone]
    assert [c.logprob for c in together] == pytest.approx([c.logprob for c in alone], abs=1e-4)
    assert len({c.text for c in together}) > len(rows) // 2, (
        "the tiny model says nearly the same everywhere"
    )


def test_greedy_equals_transformers_generate(checkpoint: Path) -> None:
    engine = load(checkpoint)
    prompt = PROMPTS[0]
    ids = torch.tensor([engine.codec.prompt_ids(prompt)])
    made = engine.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=20,
        pad_token_id=0,
    )[0]
    new = made[1:] if engine.codec.encoder_decoder else made[ids.shape[1] :]
    expected = engine.codec.after(
        [] if engine.codec.encoder_decoder else ids[0].tolist(), new.tolist()
    )
    completion = engine.generate([(Request(prompt, max_tokens=20), 0)])[0]
    assert completion.text == (
        expected if engine.codec.encoder_decoder else expected.removeprefix(" ")
    )


def test_sample_i_is_the_same_whatever_else_is_asked(checkpoint: Path) -> None:
    engine = load(checkpoint)
    request = Request(PROMPTS[1], temperature=1.0, max_tokens=16)
    eight = engine.generate([(request, index) for index in range(8)])
    assert len({c.text for c in eight}) >= 6
    assert engine.generate([(request, 5), (request, 2)])[0].text == eight[5].text


def test_a_completion_starts_with_what_was_given(checkpoint: Path) -> None:
    engine = load(checkpoint)
    for begin in ("Ana has 3", "Ana has 3 ", "3 + 8 =", "apples. "):
        completion = engine.generate(
            [(Request(PROMPTS[0], max_tokens=12, prefill=begin, temperature=0.5), 0)]
        )[0]
        assert completion.text.startswith(begin)
        assert len(completion.text) > len(begin)
        assert completion.completion_tokens <= 12


def test_a_stop_string_ends_the_text_and_is_not_part_of_it(checkpoint: Path) -> None:
    engine = load(checkpoint)
    prompts = [f"Q: Is coin {number} heads up?" for number in range(8)]
    texts = [
        c.text for c in engine.generate([(Request(prompt, max_tokens=40), 0) for prompt in prompts])
    ]
    free, prompt = max(zip(texts, prompts, strict=True), key=lambda pair: len(set(pair[0])))
    stop = free[6:9]
    stopped = engine.generate([(Request(prompt, max_tokens=40, stop=("never there", stop)), 0)])[0]
    assert stopped.text == free[: free.find(stop)]
    assert stopped.finish_reason == "stop"
    assert stopped.completion_tokens < 40


class OneSum:
    """Writes a sum once some text is there."""

    ends = ()

    def forced(self, text: str) -> str | None:
        return " 3 + 8 = 11." if "3 + 8" not in text and len(text) > 12 else None


def test_a_rule_forces_what_comes_next(checkpoint: Path) -> None:
    engine = load(checkpoint)
    rows = [(Request(prompt, max_tokens=60), 0) for prompt in PROMPTS]
    for completion in engine.generate(rows, rules=[OneSum()]):
        assert completion.text.count(" 3 + 8 = 11.") == 1 or len(completion.text) < 20


class AfterLetter:
    """Writes "8" behind a letter, and counts how often it is asked."""

    def __init__(self, letter: str, ends: tuple[str, ...]) -> None:
        self.letter, self.ends, self.asked = letter, ends, 0

    def forced(self, text: str) -> str | None:
        self.asked += 1
        return "8" if text.endswith((self.letter, f"{self.letter} ")) else None


@pytest.mark.parametrize("stop", [(), ("never there",)])
def test_a_rule_is_asked_only_where_a_text_may_end_as_it_says(
    checkpoint: Path, stop: tuple[str, ...]
) -> None:
    engine = load(checkpoint)
    rows = [
        (Request(f"Q: Is coin {number} heads up?", max_tokens=40, stop=stop), 0)
        for number in range(8)
    ]
    ends = [completion.text[-1:] for completion in engine.generate(rows)]
    letter = next(end for end in ends if end.strip())
    everywhere, there = AfterLetter(letter, ()), AfterLetter(letter, (letter, f"{letter} "))
    expected = engine.generate(rows, rules=[everywhere])
    assert engine.generate(rows, rules=[there]) == expected
    assert 0 < there.asked < everywhere.asked


def test_few_shot_prompts_share_their_prefix_and_answer_alike(checkpoint: Path) -> None:
    exemplars = "Q: Ana has 3 apples. How many?\nA: The answer is 3.\n\n" * 4
    rows = [(Request(exemplars + prompt, max_tokens=16), 0) for prompt in PROMPTS[:3]]
    engine = load(checkpoint)
    assert [c.text for c in engine.generate(rows)] == [
        engine.generate([row])[0].text for row in rows
    ]


def test_a_prompt_that_does_not_fit_is_an_error_and_never_cut(tmp_path: Path) -> None:
    engine = load(tiny_checkpoint(tmp_path, "gpt2"))
    refused, fits = engine.generate(
        [(Request("coin " * 300), 0), (Request("3" * 245, max_tokens=400), 0)]
    )
    assert isinstance(refused, QuestionFailed)
    assert refused.reason == "prompt too long" and "256" in str(refused)
    assert fits.prompt_tokens + fits.completion_tokens <= 256


def test_a_row_at_the_end_of_the_context_does_not_disturb_the_others(tmp_path: Path) -> None:
    engine = load(tiny_checkpoint(tmp_path, "gpt2"))
    full = Request("3" * 245, max_tokens=400)
    others = [Request(f"Q: Is coin {number} heads up?", max_tokens=40) for number in range(12)]
    together = engine.generate([(request, 0) for request in (full, *others)])
    assert [c.text for c in together] == [
        engine.generate([(request, 0)])[0].text for request in (full, *others)
    ]


def test_a_chat_prompt_needs_a_chat_template(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, "qwen2")
    chat = Request((Message("user", "Is the coin heads up?"),), max_tokens=5)
    with pytest.raises(FatalTeacherError, match="chat template"):
        load(folder).generate([(chat, 0)])
    engine = load(folder)
    engine.codec.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}A:"
    )
    assert (
        engine.codec.decode(engine.codec.prompt_ids(chat.prompt))
        == "user: Is the coin heads up?\nA:"
    )
    assert engine.generate([(chat, 0)])[0].completion_tokens == 5


def test_only_safetensors_are_read(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, "gpt2")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        load(folder)
    with pytest.raises(UserError, match="no such folder"):
        TransformersEngine().load(tmp_path / "absent")


def test_identity_is_the_content_not_the_place(tmp_path: Path) -> None:
    first, second = tiny_checkpoint(tmp_path / "a", "gpt2"), tiny_checkpoint(tmp_path / "b", "gpt2")
    other = tiny_checkpoint(tmp_path / "c", "gpt2", seed=7)
    assert load(first).identity() == load(second).identity()
    assert load(first).identity() != load(other).identity()


def test_bfloat16_answers_on_a_cpu(checkpoint: Path) -> None:
    engine = load(checkpoint, dtype="bfloat16")
    assert engine.model.dtype == torch.bfloat16
    rows = [(Request(prompt, temperature=0.9, max_tokens=12), 0) for prompt in PROMPTS]
    assert all(completion.completion_tokens for completion in engine.generate(rows))
    assert engine.identity()["dtype"] == "bfloat16"
