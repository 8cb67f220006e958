"""Free memory goes back to the system, that of objects which refer to one another as well."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

import pytest
import torch

from cotdistill.util.memory import give_back


def resident() -> float:
    """Return this process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_free_is_given_back() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("not glibc")
    # Small enough to come from the heap, which cannot shrink by itself below the last.
    kept = [torch.ones(25_000) for _ in range(3000)]
    fence = torch.ones(25_000)
    full = resident()
    kept.append(kept)  # type: ignore[arg-type]
    gc.disable()
    try:
        del kept
        give_back()
        assert resident() > full - 50
    finally:
        gc.enable()
    give_back(cycles=True)
    assert resident() < full - 200
    assert fence.sum() == 25_000
