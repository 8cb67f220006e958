"""The environment record of a run, so that its figures can be reproduced. Holds no secret."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

_PACKAGES = (
    "cotdistill",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "datasets",
    "tokenizers",
    "numpy",
    "aiohttp",
)


def environment(seeds: Sequence[int]) -> dict[str, Any]:
    """Return versions, machine, seeds and the state of the git checkout, if there is one."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if platform.system() == "Linux" else os.cpu_count(),
        "packages": {
            name: version for name in _PACKAGES if (version := _version(name)) is not None
        },
        "seeds": list(seeds),
        "git": _git_state(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    command = ["git", "status", "--porcelain=v2", "--branch"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    header = dict(line.split(" ", 2)[1:] for line in lines if line.startswith("# "))
    changed = sum(not line.startswith("# ") for line in lines)
    return {"commit": header["branch.oid"], "changed_files": changed}
