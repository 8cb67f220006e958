"""Layers compiled by torch: what stands between products is computed in one pass over memory.

Each layer is compiled by itself, so that all of one shape share the code, for rows of any length.
Attention to a packed row stays as it is: its parts differ in number and length with every batch.
A model that is not in training, which is asked and scored, is not compiled. Names of weights stay.
"""

from typing import Any

import torch
from transformers import AttentionInterface

from cotdistill.errors import UserError
from cotdistill.students._packing import ATTENTION, packed_attention


def compile_layers(model: Any) -> None:
    """Have torch compile the model's layers when they are first trained.

    Raises:
        UserError: torch cannot compile here.
    """
    try:
        torch.compile(torch.sin)(torch.ones(8))
    except RuntimeError as error:
        raise UserError(
            f"`train.compile`: torch cannot compile here ({str(error).splitlines()[0][:100]}); "
            "install a C++ compiler (g++) or leave it out"
        ) from error
    apart = torch.compiler.disable(packed_attention)  # type: ignore[no-untyped-call]
    AttentionInterface.register(ATTENTION, apart)
    names = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in names:
            module.forward = _in_training(module)


def _in_training(layer: Any) -> Any:
    plain = layer.forward
    compiled = torch.compile(plain, dynamic=True)

    def forward(*args: Any, **kwargs: Any) -> Any:
        return (compiled if layer.training else plain)(*args, **kwargs)

    return forward
