"""Training a student: every family learns, answers, resumes after a kill, and is written whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from cotdistill.contracts import Engine, TrainResult, TrainSettings
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.errors import DataError, StoreError, UserError
from cotdistill.records import Example, Request
from cotdistill.students import _training
from cotdistill.students._settings import LoraSettings
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import Family, tiny_checkpoint, train_on

FAMILIES: tuple[Family, ...] = ("gpt2", "llama", "qwen2", "t5")
NUMBERS = ("one", "two", "three", "four")
EXAMPLES = [
    Example("student", f"How many is {word}?", f"It is {place + 1}. So {place + 1}")
    for place, word in enumerate(NUMBERS)
]
FAST = TrainSettings(epochs=2, batch_size=2, learning_rate=1e-2, selection="last")


def made(folder: Path, family: Family, **settings: Any) -> TransformersStudent:
    texts = [text for example in EXAMPLES for text in (example.prompt, example.target)]
    base = tiny_checkpoint(folder / "base", family, texts=texts)
    return TransformersStudent(model=str(base), **settings)


def answers(engine: Engine) -> list[str]:
    rows = [(Request(example.prompt, max_tokens=24), 0) for example in EXAMPLES]
    return [completion.text for completion in engine.generate(rows)]


def answers_of(student: TransformersStudent, checkpoint: Path | None) -> list[str]:
    return answers(student.engine(checkpoint, TransformersEngine()))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_learns_reloads_and_answers_with_an_end(tmp_path: Path, family: Family) -> None:
    student, out = made(tmp_path, family), tmp_path / "out"
    settings = TrainSettings(epochs=3, batch_size=4, learning_rate=5e-3, selection="last")
    result = train_on(EXAMPLES * 60, student, settings, out)
    assert answers_of(student, out) == [example.target for example in EXAMPLES]
    assert answers_of(student, None) != answers_of(student, out)
    assert (result.steps, result.epoch) == (180, 3)
    assert json.loads((out / "training.json").read_text("utf-8")) == result.to_json()
    assert not (tmp_path / "out.work").exists()
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    assert losses[-1] < 0.2 * losses[0]


def test_what_changes_answers_is_not_taken_over_from_the_base(tmp_path: Path) -> None:
    student, out = made(tmp_path, "llama"), tmp_path / "out"
    asked = tmp_path / "base" / "generation_config.json"
    settings = {"repetition_penalty": 1.3, "temperature": 0.6, "eos_token_id": [5, 1]}
    asked.write_text(json.dumps(settings))
    train_on(EXAMPLES, student, FAST, out)
    kept = json.loads((out / "generation_config.json").read_text())
    assert settings.keys() & kept.keys() == {"eos_token_id"}
    assert kept["eos_token_id"] == [1, 5]


def test_pieces_of_a_batch_learn_what_the_whole_batch_learns(tmp_path: Path) -> None:
    weights = []
    for tokens in (None, 30):
        settings = FAST.model_copy(update={"batch_size": 6, "batch_tokens": tokens})
        out = tmp_path / str(tokens)
        train_on(EXAMPLES * 3, made(tmp_path, "llama"), settings, out)
        weights.append(load_file(out / "model.safetensors"))
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", ["qwen2", "t5"])
def test_adapters_learn_and_are_merged(tmp_path: Path, family: Family) -> None:
    student, out = made(tmp_path, family, lora=LoraSettings(r=8, alpha=16)), tmp_path / "out"
    settings = TrainSettings(epochs=2, batch_size=4, learning_rate=1e-2, selection="last")
    result = train_on(EXAMPLES * 40, student, settings, out)
    assert result.trained_parameters < 0.5 * result.parameters
    learnt = answers_of(student, out)
    assert sum(text.startswith("It is") for text in learnt) == 4
    assert learnt == [example.target for example in EXAMPLES] or family == "t5"
    assert (out / "adapter" / "adapter_model.safetensors").exists()


def test_adapters_on_separate_embeddings_are_merged(tmp_path: Path) -> None:
    modules = ("q_proj", "embed_tokens", "lm_head")
    student, out = (
        made(tmp_path, "llama", lora=LoraSettings(target_modules=modules)),
        tmp_path / "o",
    )
    settings = TrainSettings(epochs=1, batch_size=4, learning_rate=1e-2, selection="last")
    train_on(EXAMPLES[:1] * 120, student, settings, out)
    assert answers_of(student, out)[0] == EXAMPLES[0].target


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_training_killed_again_and_again_continues_to_the_same_weights(
    tmp_path: Path, family: Family
) -> None:
    student = made(tmp_path, family)
    # Each epoch has two steps; it saves after every step.
    settings = FAST.model_copy(update={"epochs": 4, "save_minutes": 1e-9})
    undisturbed = train_on(EXAMPLES, student, settings, tmp_path / "whole", seed=3)
    notes: list[tuple[int, str]] = []

    def go_on(until: int) -> TrainResult:
        """Train, but kill it as it reports a step, whose checkpoint is not yet written."""
        notes.clear()

        def on_progress(count: int, note: str) -> None:
            notes.append((count, note))
            if sum(count for count, _ in notes) == until:
                raise KeyboardInterrupt

        return train_on(
            EXAMPLES, student, settings, tmp_path / "killed", seed=3, on_progress=on_progress
        )

    saved = 0
    for kill_at in (3, 4, 7):  # within an epoch, at its end, within the last
        with pytest.raises(KeyboardInterrupt):
            go_on(kill_at)
        assert notes[0] == (saved, "resumed") or not saved
        assert [count for count, note in notes if note != "resumed"] == [1] * (kill_at - saved)
        saved = kill_at - 1
    resumed = go_on(9)
    assert notes[0] == (saved, "resumed")
    assert [count for count, _ in notes[1:]] == [1] * (8 - saved)
    ours = load_file(tmp_path / "killed" / "model.safetensors")
    for name, tensor in load_file(tmp_path / "whole" / "model.safetensors").items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0)
    epochs = [
        [entry for entry in result.history if "epoch" in entry] for result in (resumed, undisturbed)
    ]
    assert epochs[0] == epochs[1]


def test_progress_names_the_loss_as_soon_as_it_is_known(tmp_path: Path) -> None:
    notes: list[str] = []
    student = made(tmp_path, "gpt2")
    train_on(
        EXAMPLES, student, FAST, tmp_path / "out", on_progress=lambda _, note: notes.append(note)
    )
    assert notes[0] == "step 1/4, epoch 0.5"
    assert notes[-1].startswith("step 4/4, epoch 2.0, loss ")


def test_work_from_other_inputs_is_not_resumed(tmp_path: Path) -> None:
    student = made(tmp_path, "gpt2")

    def killing(count: int, note: str) -> None:
        if "step 3/" in note:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on(EXAMPLES, student, FAST, tmp_path / "out", on_progress=killing)
    notes: list[str] = []
    other = train_on(
        EXAMPLES[:3],
        student,
        FAST,
        tmp_path / "out",
        on_progress=lambda _, note: notes.append(note),
    )
    assert (other.examples, other.steps, len(notes)) == (3, 4, 4)


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    student, out = made(tmp_path, "llama"), tmp_path / "out"
    seen: list[list[str]] = []
    scores = [0.2, 0.9, 0.9, 0.5]

    def score(engine: Engine) -> float:
        seen.append(answers(engine))
        return scores[len(seen) - 1]

    settings = FAST.model_copy(update={"epochs": 4, "selection": "accuracy"})
    result = train_on(EXAMPLES, student, settings, out, score=score)
    assert result.epoch == 2
    assert answers_of(student, out) == seen[1] != seen[3]
    assert [entry["accuracy"] for entry in result.history if "epoch" in entry] == scores


def test_selection_by_validation_loss(tmp_path: Path) -> None:
    path = tmp_path / "validation.jsonl"
    path.write_text("".join(json.dumps(item.to_json()) + "\n" for item in EXAMPLES[:2]), "utf-8")
    settings = FAST.model_copy(update={"epochs": 3, "selection": "loss"})
    student = made(tmp_path, "gpt2")
    result = train_on(EXAMPLES, student, settings, tmp_path / "out", validation=path)
    losses = {e["epoch"]: e["validation_loss"] for e in result.history if "epoch" in e}
    assert losses[result.epoch] == min(losses.values())


def test_what_is_left_out_cut_or_lost_is_logged_before_training(tmp_path: Path) -> None:
    examples = [
        *EXAMPLES,
        Example("student", "How many is {five}?\nTell <me>.", "It is 5. " * 30),
        Example("student", "How " * 90, "It is 6."),
    ]
    lines: list[str] = []
    settings = FAST.model_copy(update={"max_prompt_tokens": 60, "max_target_tokens": 40})
    student = made(tmp_path, "t5")
    result = train_on(examples, student, settings, tmp_path / "out", log=lines.append)
    assert (result.left_out, result.cut, result.examples) == (1, 1, 5)
    lost = result.out_of_vocabulary
    assert lost["\n"] == lost["<"] == lost["{"] == 1
    assert len(lines) == 3
    assert "out of the vocabulary" in lines[2] and "'<' ×1" in lines[2]


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
    settings = FAST.model_copy(update={"max_prompt_tokens": 100})
    with pytest.raises(DataError, match=message):
        train_on(examples, made(tmp_path, "gpt2"), settings, tmp_path / "out")


def changed(folder: Path, **fields: Any) -> None:
    """Overwrite keys of a base's tokenizer_config.json; None removes one."""
    path = folder / "base" / "tokenizer_config.json"
    data = json.loads(path.read_text("utf-8")) | fields
    path.write_text(
        json.dumps({key: value for key, value in data.items() if value is not None}), "utf-8"
    )


def test_a_tokenizer_larger_than_its_model_is_refused(tmp_path: Path) -> None:
    student = made(tmp_path, "llama")
    added = {"content": "<new>", "special": True, "lstrip": False, "rstrip": False}
    changed(
        tmp_path,
        added_tokens_decoder={"900": {**added, "normalized": False, "single_word": False}},
        extra_special_tokens=["<new>"],
    )
    with pytest.raises(UserError, match=r"tokenizer has 398 tokens and its model 397 rows"):
        train_on(EXAMPLES, student, FAST, tmp_path / "out")


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    student = made(tmp_path, "llama")
    changed(tmp_path, eos_token=None)
    with pytest.raises(DataError, match="no end token"):
        train_on(EXAMPLES, student, FAST, tmp_path / "out")


def test_chat_format_without_a_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a chat template"):
        train_on(EXAMPLES, made(tmp_path, "qwen2", format="chat"), FAST, tmp_path / "out")


@pytest.mark.parametrize("modules", [("q_proj", "embed_tokens"), ("q_proj", "lm_head")])
def test_adapters_on_tied_embeddings_are_refused(tmp_path: Path, modules: tuple[str, ...]) -> None:
    student = made(tmp_path, "qwen2", lora=LoraSettings(target_modules=modules))
    with pytest.raises(UserError, match="one matrix for input and output embeddings"):
        train_on(EXAMPLES, student, FAST, tmp_path / "out")


def test_adapters_on_a_model_in_parts_are_refused(tmp_path: Path) -> None:
    spread = FAST.model_copy(update={"processes": 2, "strategy": "fsdp"})
    with pytest.raises(UserError, match="a model in parts has no adapters"):
        made(tmp_path, "llama", lora=LoraSettings()).trial(EXAMPLES[:2], spread)


def test_adapters_of_modules_that_are_not_there_are_refused(tmp_path: Path) -> None:
    student = made(tmp_path, "qwen2", lora=LoraSettings(target_modules=("c_attn",)))
    with pytest.raises(UserError, match=r"target_modules .*c_attn.* all-linear fits every model"):
        train_on(EXAMPLES, student, FAST, tmp_path / "out")


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 0.0, "epochs": 9})
    with pytest.raises(UserError, match=r"loss is nan at step \d+: lower `train.learning_rate`"):
        train_on(EXAMPLES, made(tmp_path, "gpt2"), settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_computes_something_else_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copy2

    def damaging(source: Path, target: Path) -> None:
        copy(source, target)
        if target.suffix == ".safetensors":
            copy(tmp_path / "base" / target.name, target)  # the weights before training

    monkeypatch.setattr(_training.shutil, "copy2", damaging)
    with pytest.raises(StoreError, match=r"has a loss of \d.* where the trained model had"):
        train_on(EXAMPLES * 20, made(tmp_path, "gpt2"), FAST, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_random_student_from_config_and_tokenizer(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", "llama")
    student = TransformersStudent(config=str(base), tokenizer=str(base))
    for name in ("one", "two"):
        train_on(EXAMPLES, student, FAST, tmp_path / name)
    assert len(answers_of(student, tmp_path / "one")) == len(answers_of(student, None)) == 4
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one["lm_head.weight"].equal(two["lm_head.weight"])


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
        TransformersStudent(**settings)
