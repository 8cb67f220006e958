"""Fixtures that every folder of tests may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data outside the repository; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("COTDISTILL_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "benchmarks").is_dir():
        pytest.skip(f"no shared data at {folder}; set COTDISTILL_SHARED_DATA to its folder")
    return folder
