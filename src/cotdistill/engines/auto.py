"""Choose the engine of a run's students by a rule, once: what is installed, what the machine has.

    engine: auto        # the default

Equal answers come before speed: an engine that rounds differently is chosen only where every
engine rounds. The first rule that holds decides:

1. No accelerator: `transformers` in float32, where a batch answers exactly as its items;
   CTranslate2's float32 is no faster, and int8 and bfloat16 give other texts.
2. An accelerator without CUDA, or no vLLM installed: `transformers` in bfloat16.
3. Token rules, several trained models of a method, or a student that is no decoder-only checkpoint:
   the same, because vLLM applies no rules, takes the card for one model, and runs no other.
4. Else `vllm` in bfloat16: `transformers` rounds to that too.

The choice is made when a run begins to answer, printed with its reason, kept in the run folder
(`engine.json`), and stands for `auto` in the fingerprint of every answer: a run goes on with the
engine that it began with, on another machine too. Name an engine to have another.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cotdistill.contracts import Engine, EnginePlugin
from cotdistill.plugins import build


def choose(
    checkpoints: Sequence[str | Path | None], *, rules: bool = False, models: int = 1
) -> tuple[dict[str, str], str]:
    """Return the entry of the engine for these students on this machine, and why.

    Args:
        checkpoints: what the students start from; None for one without a checkpoint.
        rules: whether a strategy has token rules.
        models: how many trained models answer at once.
    """
    from cotdistill.checkpoints.loading import load_config, pick_device

    device = pick_device("auto").type
    if device == "cpu":
        exact = {"name": "transformers", "dtype": "float32"}
        return exact, "no accelerator here, and on a CPU it answers a batch exactly as its items"
    plain = {"name": "transformers", "dtype": "bfloat16"}
    if device != "cuda":
        return plain, f"vLLM does not run on {device}"
    if find_spec("vllm") is None:
        return plain, "vLLM is not installed"
    if rules:
        return plain, "a strategy has token rules, which vLLM does not apply"
    if models > 1:
        return plain, f"{models} models answer at once, and vLLM takes the card for one"
    if any(one is None or load_config(one).is_encoder_decoder for one in checkpoints):
        return plain, "a student is no decoder-only checkpoint, and vLLM runs no other"
    return {"name": "vllm", "dtype": "bfloat16"}, "CUDA is here and vLLM is installed"


class AutoEngine(EnginePlugin):
    """The engine that suits this machine and the run's students, chosen once and kept."""

    def load(
        self,
        checkpoint: str | Path,
        *,
        prompt_end: str = "",
        target_begin: str = "",
        chat: bool = False,
    ) -> Engine:
        """Load the checkpoint with the engine chosen for it alone; a run chooses for all."""
        engine = build("engines", choose([checkpoint])[0], EnginePlugin)
        form: dict[str, Any] = {"prompt_end": prompt_end, "target_begin": target_begin}
        return engine.load(checkpoint, **form, chat=chat)
