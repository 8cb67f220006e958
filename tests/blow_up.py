"""A guard against work that grows faster than the text it reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_blow_up(seconds: float = 20) -> Iterator[None]:
    """Fail where the block takes more than `seconds` of processor time.

    100 kB of hostile text take milliseconds where the work is linear and minutes where it is
    quadratic. The bound lies far from both, so that a slow or busy machine is no failure.
    """
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds
