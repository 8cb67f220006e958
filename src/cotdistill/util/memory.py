"""Memory of this process that nothing uses any more."""

import ctypes
import gc
import sys


def give_back(*, cycles: bool = False) -> None:
    """Give free memory back to the system, where the C library can be told to (glibc).

    It keeps what a model and its gradients were in for later, and the pieces that a next model
    needs seldom fit: without this a process grows with every model that it trains or asks.
    `cycles` frees objects first that refer to one another, as a trainer and its callbacks do; that
    takes a tenth of a second and more.
    """
    if cycles:
        gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
