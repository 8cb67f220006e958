"""Numbers of parameters: of trained students by their training, of teachers by file or name."""

import re
from dataclasses import dataclass
from pathlib import Path

from cotdistill.checkpoints.bundled import locate
from cotdistill.recipe import Entry
from cotdistill.reporting.scoreboard import BoardRow


@dataclass(frozen=True)
class KnownSize:
    """A number of parameters and where it is known from."""

    count: int
    source: str


def row_parameters(one: BoardRow) -> int | None:
    """Return the parameters of all roles of a row's student; None where nothing was trained."""
    for answered in one.answered:
        notes = answered.training.get("roles", {}).items()
        # A role trained in several rounds is one model: "student (round 1)".
        roles: dict[str, int] = {
            name.partition(" (")[0]: note["parameters"] for name, note in notes
        }
        if roles:
            return sum(roles.values())
    return None


def teacher_parameters(entry: Entry) -> KnownSize | None:
    """Return the size of a teacher: of its weights here, else as its name gives it ("70B")."""
    model = dict(entry.plugin).get("model")
    if not isinstance(model, str):
        return None
    try:
        place = Path(locate(model))
    except (OSError, ValueError):
        return None
    if place.is_dir() and (counted := _counted(place)):
        return KnownSize(counted, "counted in its weights")
    # A size in a model's name: a number and B, not inside a word ("Llama-3.1-70B-Instruct").
    named = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)B(?![a-z])", model, re.IGNORECASE)
    return KnownSize(round(float(named[1]) * 1e9), "by its name") if named else None


def _counted(folder: Path) -> int:
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "np") as weights:
            for name in weights.keys():  # noqa: SIM118  no mapping
                size = 1
                for length in weights.get_slice(name).get_shape():
                    size *= length
                total += size
    return total
