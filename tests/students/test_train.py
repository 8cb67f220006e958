"""Training a role: both families and adapters learn, answer, resume after a kill, and share prompts at the same loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cotdistill.contracts import Engine
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.errors import DataError
from cotdistill.records import Example, Request
from cotdistill.students.loading import load_base, load_student
from cotdistill.students.settings import LoraSettings, StudentSettings, TrainSettings
from cotdistill.students.train import TrainResult, train_role
from cotdistill.testing.tiny import Family, tiny_checkpoint

FAMILIES: tuple[Family, ...] = ("gpt2", "llama", "qwen2", "t5")
NUMBERS = ("one", "two", "three", "four")
EXAMPLES = [
    Example("student", f"How many is {word}?", f"It is {place + 1}. So {place + 1}")
    for place, word in enumerate(NUMBERS)
]
FAST = TrainSettings(epochs=2, batch_size=2, learning_rate=1e-2, selection="last")


def student(folder: Path, family: Family, **settings: Any) -> StudentSettings:
    texts = [text for example in EXAMPLES for text in (example.prompt, example.target)]
    return StudentSettings(
        model=str(tiny_checkpoint(folder / "base", family, texts=texts)), **settings
    )


def answers(engine: Engine) -> list[str]:
    return [
        c.text
        for c in engine.generate(
            [(Request(example.prompt, max_tokens=24), 0) for example in EXAMPLES]
        )
    ]


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(result.checkpoint / "model.safetensors")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_learns_reloads_and_answers_with_an_end(tmp_path: Path, family: Family) -> None:
    settings = student(tmp_path, family)
    train = TrainSettings(epochs=3, batch_size=4, learning_rate=5e-3, selection="last")
    result = train_role(EXAMPLES * 60, settings, train, tmp_path / "out", seed=0)
    engine = load_student(TransformersEngine(), settings, result.checkpoint)
    assert answers(engine) == [example.target for example in EXAMPLES]
    assert answers(load_base(TransformersEngine(), settings)) != answers(engine)
    assert result.steps == 180
    assert result.epoch == 3
    assert json.loads((tmp_path / "out" / "training.json").read_text("utf-8"))["steps"] == 180
    assert not (tmp_path / "out.work").exists()
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("family", ["qwen2", "t5"])
def test_adapters_learn_and_are_merged(tmp_path: Path, family: Family) -> None:
    settings = student(tmp_path, family, lora=LoraSettings(r=8, alpha=16))
    train = TrainSettings(epochs=2, batch_size=4, learning_rate=1e-2, selection="last")
    result = train_role(EXAMPLES * 40, settings, train, tmp_path / "out", seed=0)
    assert result.trained_parameters < 0.5 * result.parameters
    learnt = answers(load_student(TransformersEngine(), settings, result.checkpoint))
    assert sum(text.startswith("It is") for text in learnt) == 4
    assert learnt == [example.target for example in EXAMPLES] or family == "t5"
    assert (result.checkpoint / "adapter" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("family", ["gpt2", "t5"])
@pytest.mark.parametrize("kill_at", [3, 4, 7])
def test_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, family: Family, kill_at: int
) -> None:
    settings = student(tmp_path, family)
    train = FAST.model_copy(update={"epochs": 4, "save_minutes": 1e-9 if kill_at == 7 else 10.0})
    undisturbed = train_role(EXAMPLES, settings, train, tmp_path / "whole", seed=3)
    steps: list[int] = []

    def killing(count: int = 1, note: str = "") -> None:
        steps.append(count)
        if sum(steps) == kill_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_role(EXAMPLES, settings, train, tmp_path / "killed", seed=3, on_progress=killing)
    steps.clear()

    def counting(count: int = 1, note: str = "") -> None:
        steps.append(count)

    resumed = train_role(
        EXAMPLES, settings, train, tmp_path / "killed", seed=3, on_progress=counting
    )
    assert len(steps) - 1 < 8 if kill_at > 2 else True, "it started from nothing"
    assert sum(steps) == 8
    ours = weights(resumed)
    for name, tensor in weights(undisturbed).items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0)
    assert [e for e in resumed.history if "epoch" in e] == [
        e for e in undisturbed.history if "epoch" in e
    ]


def test_progress_names_the_loss_as_soon_as_it_is_known(tmp_path: Path) -> None:
    notes: list[str] = []

    def note_down(count: int = 1, note: str = "") -> None:
        notes.append(note)

    train_role(
        EXAMPLES, student(tmp_path, "gpt2"), FAST, tmp_path / "out", seed=0, on_progress=note_down
    )
    assert notes[0] == "step 1/4, epoch 0.5"
    assert notes[-1].startswith("step 4/4, epoch 2.0, loss ")


def test_work_from_other_inputs_is_not_resumed(tmp_path: Path) -> None:
    settings = student(tmp_path, "gpt2")

    def killing(count: int = 1, note: str = "") -> None:
        if "step 3/" in note:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_role(EXAMPLES, settings, FAST, tmp_path / "out", seed=0, on_progress=killing)
    other = train_role(EXAMPLES[:3], settings, FAST, tmp_path / "out", seed=0)
    assert (other.examples, other.steps) == (3, 4)


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    settings = student(tmp_path, "llama")
    seen: list[list[str]] = []
    scores = [0.2, 0.9, 0.9, 0.5]

    def score(engine: Engine) -> float:
        seen.append(answers(engine))
        return scores[len(seen) - 1]

    train = FAST.model_copy(update={"epochs": 4, "selection": "accuracy"})
    result = train_role(EXAMPLES, settings, train, tmp_path / "out", seed=0, score=score)
    assert result.epoch == 2
    assert (
        answers(load_student(TransformersEngine(), settings, result.checkpoint))
        == seen[1]
        != seen[3]
    )
    assert [e["accuracy"] for e in result.history if "epoch" in e] == scores


def test_selection_by_validation_loss(tmp_path: Path) -> None:
    train = FAST.model_copy(update={"epochs": 3, "selection": "loss"})
    result = train_role(
        EXAMPLES,
        student(tmp_path, "gpt2"),
        train,
        tmp_path / "out",
        seed=0,
        validation_examples=EXAMPLES[:2],
    )
    losses = {e["epoch"]: e["validation_loss"] for e in result.history if "epoch" in e}
    assert losses[result.epoch] == min(losses.values())


def test_what_is_left_out_cut_or_lost_is_said_before_training(tmp_path: Path) -> None:
    examples = [
        *EXAMPLES,
        Example("student", "How many is {five}?\nTell <me>.", "It is 5. " * 30),
        Example("student", "How " * 90, "It is 6."),
    ]
    said: list[str] = []
    train = FAST.model_copy(update={"max_prompt_tokens": 60, "max_target_tokens": 40})
    result = train_role(
        examples, student(tmp_path, "t5"), train, tmp_path / "out", seed=0, log=said.append
    )
    assert (result.left_out, result.cut, result.examples) == (1, 1, 5)
    assert result.vanished["\n"] == result.vanished["<"] == result.vanished["{"] == 1
    assert len(said) == 3
    assert "'<' ×1" in said[2]


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "no training examples"),
        ([Example("s", "How " * 200, "It is 1.")], "max_prompt_tokens"),
        ([Example("s", "How", "")], "empty"),
    ],
)
def test_nothing_to_learn_from_is_an_error(
    tmp_path: Path, examples: list[Example], message: str
) -> None:
    train = FAST.model_copy(update={"max_prompt_tokens": 100})
    with pytest.raises(DataError, match=message):
        train_role(examples, student(tmp_path, "gpt2"), train, tmp_path / "out", seed=0)


def test_weights_scale_the_loss(tmp_path: Path) -> None:
    settings = student(tmp_path, "gpt2")
    ignored = [Example("s", example.prompt, example.target, weight=0.0) for example in EXAMPLES]
    plain = FAST.model_copy(update={"weight_decay": 0.0})
    result = train_role(ignored, settings, plain, tmp_path / "out", seed=0)
    assert all(entry["loss"] == 0 for entry in result.history if "loss" in entry)


def test_by_mean_the_loss_does_not_depend_on_who_shares_a_batch(tmp_path: Path) -> None:
    settings = student(tmp_path, "llama")
    examples = [
        Example("s", example.prompt, example.target * (1 + 3 * (place % 2)), by_mean=True)
        for place, example in enumerate(EXAMPLES)
    ]
    losses = []
    for size in (4, 2, 1):
        train = FAST.model_copy(
            update={"epochs": 1, "batch_size": size, "gradient_accumulation": 4 // size}
        )
        result = train_role(examples, settings, train, tmp_path / str(size), seed=0)
        losses += [entry["loss"] for entry in result.history if "loss" in entry]
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-4)


def test_a_random_student_from_config_and_tokenizer(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", "llama")
    settings = StudentSettings(config=str(base), tokenizer=str(base))
    result = train_role(EXAMPLES, settings, FAST, tmp_path / "out", seed=0)
    assert len(answers(load_student(TransformersEngine(), settings, result.checkpoint))) == 4
    again = train_role(EXAMPLES, settings, FAST, tmp_path / "again", seed=0)
    assert weights(again)["lm_head.weight"].equal(weights(result)["lm_head.weight"])
