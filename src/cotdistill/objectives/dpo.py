# ruff: noqa: N806 - tensor names carry their shape
"""Direct preference optimisation: Rafailov et al. (NeurIPS 2023, arXiv 2305.18290), equation 7.

An example's target is preferred over `extra["rejected"]`, both after the same prompt, such as a
right and a wrong rationale of one question. With the reference model being the student before this
training, and log π summed over the tokens of a target,

    loss = -log σ(β [(log π(target) - log π_ref(target)) - (log π(rejected) - log π_ref(rejected))])

Likelihoods of both targets fall where only their difference counts, which hurts reasoning: `alpha`
adds the mean negative log-likelihood per token of the preferred target (Pang et al. 2024, arXiv
2404.19733, equation 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cotdistill.contracts import Objective, TargetBatch
from cotdistill.errors import DataError
from cotdistill.records import Example

if TYPE_CHECKING:
    from torch import Tensor


class Dpo(Objective):
    """Prefer the target over `extra["rejected"]` more than the reference model does."""

    uses_reference: ClassVar[bool] = True

    beta: float = Field(0.1, gt=0)
    """Weight of the student's distance from the reference model (β of the paper)."""
    alpha: float = Field(0.0, ge=0)
    """Weight of the preferred target's own negative log-likelihood; 0 is plain DPO."""

    def targets(self, example: Example) -> tuple[str, ...]:
        rejected = example.extra.get("rejected")
        if not isinstance(rejected, str):
            raise DataError(
                'objective dpo: an example has no text in extra["rejected"]; take a method that '
                "makes pairs, such as `preference`"
            )
        return example.target, rejected

    def size(self, lengths: Sequence[int]) -> int:
        return 1

    def loss(self, batch: TargetBatch) -> Tensor:
        from torch.nn.functional import logsigmoid

        ratios_M2 = batch.per_target(batch.reference_nll - batch.nll).view(-1, 2)
        own_M2 = (batch.per_target(batch.nll) / batch.lengths).view(-1, 2)
        margins_M = self.beta * (ratios_M2[:, 0] - ratios_M2[:, 1])
        losses_M = self.alpha * own_M2[:, 0] - logsigmoid(margins_M)
        return (losses_M * batch.weights).sum()
