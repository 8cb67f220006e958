"""Train the lab's two models from nothing; `sh recipes/lab/train.sh` has the order.

A small loop in plain torch, since the corpus has no end and is drawn while training: documents in
batches of similar length, loss on learned segments only, Muon for the matrices of the layers and
AdamW for the rest, a constant learning rate with a linear decay at the end. Every `--save-minutes`
the checkpoint is replaced; the same command resumes from it with the same documents in the same
order. bf16 autocast where the processor has it.
"""

# ruff: noqa: N806 (shape suffixes: B rows, T places, D width, N learned places, V vocabulary)

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from recipes.lab.documents import Document, Phase, base_documents, teacher_documents
from recipes.lab.first_weights import start_looking_up
from recipes.lab.muon import Muon
from recipes.lab.tokenizer import build_tokenizer

__all__ = ["SETTINGS", "Settings", "main", "train"]

IGNORED = -100
SHORT, SHORT_WEIGHT = 6, 3.0
"""A learned segment of at most so many tokens is an answer: its few tokens need a larger weight."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Shape of a model and its training; `phases` say what the corpus holds.

    Over the last `decay_part` of the tokens the rate falls to `final_rate` of itself. A fall to
    zero makes a better model; the lab's teacher must make mistakes.
    """

    hidden: int
    layers: int
    inner: int
    heads: int
    tokens: int
    phases: tuple[Phase, ...]
    rate: float = 3e-3
    decay_part: float = 0.3
    final_rate: float = 0.02
    warmup_steps: int = 60
    batch_tokens: int = 2048
    chunk_documents: int = 384
    seed: int = 1


_LANGUAGE = Phase(
    first=0,
    tasks={"word_problems": 0.4, "coin_flip": 0.15, "shuffled_objects": 0.2, "rule_quiz": 0.25},
    language=1.0,
    recall=0.3,
    options=0.33,
)
_BASE = Settings(
    hidden=128,
    layers=4,
    inner=384,
    heads=4,
    tokens=11_000_000,
    phases=(_LANGUAGE, replace(_LANGUAGE, first=79_872, recall=0.1)),
    batch_tokens=4096,
    chunk_documents=768,
)
_WORKED = Phase(
    first=0,
    tasks={"word_problems": 0.4, "coin_flip": 0.15, "shuffled_objects": 0.25, "rule_quiz": 0.2},
    language=0.1,
    recall=0.05,
    options=0.4,
)
_MORE_COINS = {"word_problems": 0.4, "coin_flip": 0.35, "shuffled_objects": 0.1, "rule_quiz": 0.15}
_MORE_QUIZZES = {
    "word_problems": 0.5,
    "coin_flip": 0.05,
    "shuffled_objects": 0.05,
    "rule_quiz": 0.4,
}

SETTINGS = {
    "base": _BASE,
    "teacher_start": replace(
        _BASE, tokens=7_000_000, phases=(replace(_LANGUAGE, recall=0.2, options=0.0),)
    ),
    "teacher": replace(
        _BASE,
        tokens=12_800_000,
        phases=(
            _WORKED,
            replace(_WORKED, first=50_688, tasks=_MORE_COINS),
            replace(_WORKED, first=75_264, tasks=_MORE_QUIZZES),
        ),
        rate=2e-3,
        decay_part=0.18,
        final_rate=0.34,
        batch_tokens=2048,
        chunk_documents=384,
    ),
}


def new_model(settings: Settings, vocabulary: int, tokenizer: Any) -> Any:
    """Return a Llama-shaped model that can look words up, otherwise with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(settings.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=settings.hidden,
            intermediate_size=settings.inner,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            attention_bias=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    start_looking_up(model, settings.seed)
    model.set_attn_implementation(
        "eager"
    )  # on these short rows 1.4 times as fast as the fused kernel for processors
    return model


@dataclass(frozen=True, slots=True)
class Row:
    """Return a document as token ids, next tokens to learn (or IGNORED) and their weights."""

    ids: list[int]
    targets: list[int]
    weights: list[float]


def encode(documents: list[Document], tokenizer: Any) -> list[Row]:
    """Yield token ids, targets and weights of each document."""
    texts = [segment.text for document in documents for segment in document]
    pieces = iter(tokenizer(texts, add_special_tokens=False)["input_ids"])
    rows = []
    for document in documents:
        row = Row([], [], [])
        for segment in document:
            piece = next(pieces)
            weight = SHORT_WEIGHT if len(piece) <= SHORT else 1.0
            if segment.learn:
                if row.targets:
                    row.targets[-1], row.weights[-1] = piece[0], weight
                row.targets.extend([*piece[1:], tokenizer.eos_token_id])
            else:
                row.targets.extend([IGNORED] * len(piece))
            row.weights.extend([weight] * len(piece))
            row.ids.extend(piece)
        rows.append(row)
    return rows


def batches(
    rows: list[Row], size: int, pad: int, rng: random.Random
) -> list[tuple[torch.Tensor, ...]]:
    """Yield right-padded ids, targets and weights of at most `size` tokens, in random order.

    Documents of similar lengths share a batch.
    """
    groups: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if groups[-1] and len(row.ids) * (len(groups[-1]) + 1) > size:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    made: list[tuple[torch.Tensor, ...]] = []
    for group in groups:
        width = max(len(row.ids) for row in group)
        ids_BT = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in group])
        targets_BT = torch.tensor(
            [row.targets + [IGNORED] * (width - len(row.ids)) for row in group]
        )
        weights_BT = torch.tensor([row.weights + [0.0] * (width - len(row.ids)) for row in group])
        made.append((ids_BT, targets_BT, weights_BT))
    return made


def optimizers(model: Any, settings: Settings) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices of the layers and AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        Muon(matrices, lr=settings.rate),
        torch.optim.AdamW(others, lr=settings.rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def rate_factor(settings: Settings, tokens: int, steps: int) -> float:
    """Return the share of the full learning rate: a short rise, constant, a linear fall."""
    left = max(0.0, (settings.tokens - tokens) / (settings.tokens * settings.decay_part))
    return min(
        1.0,
        (steps + 1) / settings.warmup_steps,
        settings.final_rate + (1 - settings.final_rate) * left,
    )


def loss_of(model: Any, batch: tuple[torch.Tensor, ...], autocast: bool) -> torch.Tensor:
    """Return the weighted mean cross-entropy over the learned tokens.

    Other positions never reach the vocabulary.
    """
    ids_BT, targets_BT, weights_BT = batch
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
        learned = targets_BT != IGNORED
        logits_NV = functional.linear(hidden_BTD[learned], model.lm_head.weight)
    losses_N = functional.cross_entropy(logits_NV.float(), targets_BT[learned], reduction="none")
    return (losses_N * weights_BT[learned]).sum() / weights_BT[learned].sum()


def tokenizer_of(folder: Path) -> Any:
    """Return the checkpoint's tokenizer, or a new one where there is no checkpoint."""
    from transformers import AutoTokenizer

    return (
        AutoTokenizer.from_pretrained(folder)
        if (folder / "tokenizer.json").exists()
        else build_tokenizer()
    )


def save(
    folder: Path,
    model: Any,
    tokenizer: Any,
    optimizer_list: list[torch.optim.Optimizer],
    state: Any,
) -> None:
    """Replace the checkpoint: the model in bf16, and the state to resume from."""
    from transformers import GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"model.{name}": value.contiguous() for name, value in model.model.state_dict().items()
    }
    for number, optimizer in enumerate(optimizer_list):
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"optimizer.{number}.{index}.{key}"] = value.contiguous()
    save_file(tensors, folder / "resume.new")
    (folder / "state.new").write_text(json.dumps(state))
    half = type(model)(model.config).to(torch.bfloat16)
    half.load_state_dict(model.state_dict())
    half.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "resume.new").replace(folder / "resume.safetensors")
    (folder / "state.new").replace(folder / "state.json")


def resume(folder: Path, model: Any, optimizer_list: list[torch.optim.Optimizer]) -> dict[str, Any]:
    """Load a checkpoint made by `save`; return a fresh state where there is none."""
    if not (folder / "state.json").exists():
        return {"tokens": 0, "steps": 0, "documents": 0, "seconds": 0.0}
    tensors = load_file(folder / "resume.safetensors")
    model.model.load_state_dict(
        {k[len("model.") :]: v for k, v in tensors.items() if k.startswith("model.")}
    )
    for number, optimizer in enumerate(optimizer_list):
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(f"optimizer.{number}."):
                _, _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    loaded: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return loaded


def train(
    kind: str, folder: Path, settings: Settings, save_minutes: float, start: Path | None = None
) -> None:
    """Train until `settings.tokens` are read, resuming from the checkpoint in `folder`, if any."""
    tokenizer = tokenizer_of(start or folder)
    model = new_model(settings, len(tokenizer), tokenizer)
    if start:
        model.load_state_dict(load_file(start / "model.safetensors"), strict=False)
    optimizer_list = optimizers(model, settings)
    state = resume(folder, model, optimizer_list)
    source = teacher_documents if kind == "teacher" else base_documents
    documents: Iterator[Document] = source(settings.seed, state["documents"], settings.phases)
    autocast = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    print(
        f"{kind}: {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{len(tokenizer)} tokens, {settings}"
    )
    started = saved = time.monotonic()
    before = state["seconds"]
    while state["tokens"] < settings.tokens:
        rows = encode(list(islice(documents, settings.chunk_documents)), tokenizer)
        losses = []
        rng = random.Random(state["documents"])
        for batch in batches(rows, settings.batch_tokens, tokenizer.pad_token_id, rng):
            factor = rate_factor(settings, state["tokens"], state["steps"])
            loss = loss_of(model, batch, autocast)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizer_list:
                for group in optimizer.param_groups:
                    group["lr"] = settings.rate * factor
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item())
            state["steps"] += 1
            state["tokens"] += batch[0].numel()
        state["documents"] += settings.chunk_documents
        state["seconds"] = before + time.monotonic() - started
        mean = sum(losses) / len(losses)
        speed = state["tokens"] / state["seconds"]
        print(
            f"{state['tokens']:>11,} tokens  loss {mean:.4f}  "
            f"rate {settings.rate * factor:.5f}  {speed:,.0f}/s",
            flush=True,
        )
        if time.monotonic() - saved > save_minutes * 60:
            save(folder, model, tokenizer, optimizer_list, state)
            saved = time.monotonic()
    save(folder, model, tokenizer, optimizer_list, state)
    (folder / "settings.json").write_text(json.dumps(asdict(settings), indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kind", choices=sorted(SETTINGS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--start", type=Path, help="folder of the model to start from, instead of random weights"
    )
    parser.add_argument("--save-minutes", type=float, default=5.0)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=JSON", help="another value of a setting"
    )
    given = parser.parse_args()
    changes = {
        name: json.loads(value) for name, value in (pair.split("=", 1) for pair in given.set)
    }
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    train(
        given.kind,
        given.out,
        replace(SETTINGS[given.kind], **changes),
        given.save_minutes,
        given.start,
    )


if __name__ == "__main__":
    main()
