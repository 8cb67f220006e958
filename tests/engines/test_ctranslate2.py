"""The ctranslate2 engine in float32 answers as the transformers engine does, in every family."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ctranslate2")

from cotdistill.engines.ctranslate2 import Ctranslate2Engine
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.errors import MissingExtra, QuestionFailed, UserError
from cotdistill.records import Completion, Request
from cotdistill.testing.tiny import Family, tiny_checkpoint

FAMILIES: tuple[Family, ...] = ("gpt2", "llama", "qwen2", "t5")
PROMPTS = (
    "Q: Ana has 3 apples and buys 8 more. How many apples does she have now?",
    "Q: Is the coin heads up?",
    "A",
    "Q: Ana has 3 apples and buys 9 more. How many apples does she have now?",
)


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp(request.param), request.param, seed=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def load(checkpoint: Path, **settings: Any) -> Any:
    plugin = Ctranslate2Engine(device="cpu", **{"dtype": "float32", **settings})
    return plugin.load(checkpoint, prompt_end=" ###", target_begin=" ")


def mixed_batch() -> list[tuple[Request, int]]:
    rows = [(Request(prompt, max_tokens=9 + 5 * n), 0) for n, prompt in enumerate(PROMPTS)]
    rows += [(Request(prompt, max_tokens=20, stop=("e", "7")), 0) for prompt in PROMPTS]
    rows += [(Request(prompt, max_tokens=12, prefill="Ana has"), 0) for prompt in PROMPTS[:2]]
    return rows


@pytest.mark.parametrize("threads", [1, 2])
def test_greedy_answers_are_those_of_the_transformers_engine(
    checkpoint: Path, threads: int
) -> None:
    rows, decoder_alone = mixed_batch(), "t5" not in checkpoint.name
    truth = TransformersEngine(device="cpu").load(checkpoint, prompt_end=" ###", target_begin=" ")
    expected = truth.generate(rows)
    engine = load(checkpoint, batch_size=3, threads=threads)
    made = engine.generate(rows)
    assert [one.text for one in made] == [one.text for one in expected]
    assert len({one.text for one in made}) > 5
    for ours, theirs in zip(made, expected, strict=True):
        assert ours.completion_tokens == theirs.completion_tokens
        assert ours.finish_reason == theirs.finish_reason
        assert ours.prompt_tokens == theirs.prompt_tokens
        # Its T5 rounds more coarsely, alone as in a batch: up to 4e-3 was seen.
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3 if decoder_alone else 2e-2)
    assert [engine.generate([row])[0].text for row in rows] == [one.text for one in made]


def test_samples_differ_and_a_load_draws_them_again(checkpoint: Path) -> None:
    # More rows than a batch and more threads than one: workers would draw the same numbers.
    form = {"threads": 2, "batch_size": 2}
    rows = [(Request(PROMPTS[0], temperature=0.9, top_p=0.9, max_tokens=16), n) for n in range(6)]
    first, again = ([one.text for one in load(checkpoint, **form).generate(rows)] for _ in range(2))
    assert len(set(first)) == 6
    assert first == again


def test_int8_answers(checkpoint: Path) -> None:
    (made,) = load(checkpoint, dtype="int8").generate([(Request(PROMPTS[0], max_tokens=8), 0)])
    assert isinstance(made, Completion) and made.text and made.completion_tokens == 8


def test_a_prompt_that_is_too_long_fails_alone(tmp_path: Path) -> None:
    engine = load(tiny_checkpoint(tmp_path / "c", "gpt2"))
    long, short = Request(PROMPTS[0] * 20), Request("Q: Is it?", max_tokens=4)
    failed, made = engine.generate([(long, 0), (short, 0)])
    assert isinstance(failed, QuestionFailed) and failed.reason == "prompt too long"
    assert isinstance(made, Completion)


def test_a_checkpoint_is_converted_once(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "c", "llama")
    load(folder)
    (made,) = (tmp_path / "cache" / "cotdistill" / "ctranslate2").iterdir()
    before = made.stat().st_mtime_ns
    identity = load(folder).identity()
    assert made.stat().st_mtime_ns == before
    assert identity["engine"] == "ctranslate2" and str(tmp_path) not in str(identity)


def test_what_cannot_be_loaded_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "absent")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'cotdistill\[ctranslate2\]'"):
        load(tmp_path / "absent")
