"""Cross-entropy on the target: supervised fine-tuning, as in Ho et al. (2023) and most methods.

The loss of a step is the mean over all its target tokens, so a long target counts for more than a
short one. Tokens of the prompt are not learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cotdistill.contracts import Objective, TargetBatch

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(Objective):
    """Negative log-likelihood of the target, a mean over all target tokens."""

    def size(self, lengths: Sequence[int]) -> int:
        return sum(lengths)

    def loss(self, batch: TargetBatch) -> Tensor:
        return (batch.nll * batch.weights[batch.target_of]).sum()
