"""Fixtures that every folder of tests may use."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Property tests draw the same examples every time, keep no database beside the code, and do not
# fail on a busy machine.
settings.register_profile("cotdistill", deadline=None, derandomize=True, database=None)
settings.load_profile("cotdistill")

# Tests that run side by side share the cores: torch, which no test has imported yet, reads this.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(workers)))

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process
# they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _what_was_imported_is_no_garbage() -> None:
    # Every training has garbage collected: to look for it among the million objects of torch and
    # transformers takes longer than to train a tiny student.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data outside the repository; where it is absent, tests of it skip."""
    folder = Path(
        os.environ.get("COTDISTILL_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data"
    )
    if not (folder / "benchmarks").is_dir():
        pytest.skip(f"no shared data at {folder}; set COTDISTILL_SHARED_DATA to its folder")
    return folder
