"""Cross-entropy normalised per example: each target counts alike, however long it is.

This is the multi-task loss of Distilling step-by-step (Hsieh et al. 2023, section 3.2), where the
label's loss and λ times the rationale's loss, each a mean over its own tokens, are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cotdistill.contracts import Objective, TargetBatch

if TYPE_CHECKING:
    from torch import Tensor


class PerExample(Objective):
    """Mean over examples of each one's mean negative log-likelihood per target token."""

    def size(self, lengths: Sequence[int]) -> int:
        return 1

    def loss(self, batch: TargetBatch) -> Tensor:
        return (batch.nll * (batch.weights / batch.lengths)[batch.target_of]).sum()
