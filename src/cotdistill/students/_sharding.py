"""A model in parts: each process holds its share of weights, gradients and optimizer (FSDP2).

torch's `fully_shard` by itself. accelerate would give the input embedding a part of its own, which
unties it in an encoder-decoder: T5's forward pass reads the matrix `shared` by another name.
Checkpoints hold whole tensors, as those of one process do: a training goes on with any number of
processes, in parts or not.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


class Sharded(nn.Module):
    """Stands for a sharded model where the Trainer expects a wrapped one, and would wrap it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


def shard(model: Any, device: torch.device, *, mixed: bool) -> None:
    """Spread a model over all processes, layer by layer; what is left, embeddings, is one group.

    The layers are those that transformers never splits. `mixed` gathers their weights in bfloat16;
    what passes between them stays float32, as autocast has it.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    low: dict[str, Any] = {"param_dtype": torch.bfloat16, "reduce_dtype": torch.float32}
    policy = MixedPrecisionPolicy(**low if mixed else {}, cast_forward_inputs=False)
    names = set(model._no_split_modules or ())
    for module in reversed(list(model.modules())):  # inner ones first
        if type(module).__name__ in names:
            fully_shard(module, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh)


def whole_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a sharded model's weights on the CPU of process 0; every process has to call it.

    Tied weights stay one tensor.
    """
    made: dict[int, torch.Tensor] = {}
    weights = model.state_dict(keep_vars=True)
    for value in weights.values():
        if id(value) not in made:
            made[id(value)] = _whole(value.detach())
    return {name: made[id(value)] for name, value in weights.items()}


def whole_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state of a sharded model's optimizer as of one process, as `whole_weights`."""
    state = optimizer.state_dict()
    whole = {
        place: {name: _whole(value) for name, value in own.items()}
        for place, own in state["state"].items()
    }
    return {**state, "state": whole}


def load_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Give each process its share of an optimizer's whole state."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    shares = {
        place: {name: _share(value, parameters[place]) for name, value in own.items()}
        for place, own in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": shares})


def _whole(value: Any) -> Any:
    if not isinstance(value, DTensor):
        return value
    full = value.full_tensor()
    return full.cpu() if torch.distributed.get_rank() == 0 else full.new_empty(0)


def _share(value: Any, parameter: Any) -> Any:
    if not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value  # the count of steps
    whole = value.to(parameter.device)
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements)
