"""A model in parts, here of one process: its layers, its numbers, and what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import AutoModelForSeq2SeqLM

from cotdistill.students._sharding import load_state, shard, whole_state, whole_weights
from cotdistill.testing.tiny import tiny_checkpoint


@pytest.fixture(autouse=True)
def _group() -> Iterator[None]:
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


# T5's blocks pass on their position bias, a view that nothing changes in place.
@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")
@pytest.mark.parametrize("mixed", [False, True])
def test_a_model_in_parts_computes_and_is_saved_as_the_whole(tmp_path: Path, mixed: bool) -> None:
    folder = tiny_checkpoint(tmp_path, "t5")
    whole, parts = (AutoModelForSeq2SeqLM.from_pretrained(folder) for _ in range(2))
    shard(parts, torch.device("cpu"), mixed=mixed)
    layers = [module for module in parts.modules() if isinstance(module, FSDPModule)]
    assert len(layers) == 1 + 2 + 2  # itself, and two blocks of encoder and decoder
    assert all(isinstance(one, DTensor) for one in parts.parameters())

    batch = {"input_ids": torch.arange(3, 11)[None], "labels": torch.arange(20, 25)[None]}
    losses = []
    for model in (whole, parts):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(3):
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    # Autocast keeps the weights of norms in float32, and layers are gathered in bfloat16.
    assert losses[3:] == pytest.approx(losses[:3], rel=1e-2 if mixed else 1e-5)

    weights = whole_weights(parts)
    assert weights["encoder.embed_tokens.weight"] is weights["shared.weight"]
    if not mixed:
        for name, tensor in whole.state_dict().items():
            torch.testing.assert_close(weights[name], tensor)
    state = whole_state(optimizer)
    assert not any(
        isinstance(one, DTensor) for own in state["state"].values() for one in own.values()
    )
    again = torch.optim.AdamW(parts.parameters(), lr=1e-2)
    load_state(again, state)
    for parameter, own in again.state.items():
        assert isinstance(own["exp_avg"], DTensor) and own["step"] == 3
        torch.testing.assert_close(own["exp_avg"], optimizer.state[parameter]["exp_avg"])
