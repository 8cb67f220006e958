"""YAML that people write: every fault is one line with its place, and no key counts twice."""

from pathlib import Path
from typing import Any

import yaml

from cotdistill.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, where YAML would take the last without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {name!r} is given twice; give it once",
                    problem_mark=key.start_mark,
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def yaml_value(text: str, place: str | Path) -> Any:
    """Return the value of a YAML text; `place` is its file, whose lines are then named.

    Raises:
        RecipeError: it is no YAML, or a mapping has a key twice.
    """

    def at(index: int) -> str:
        return f"{place}:{index + 1}" if isinstance(place, Path) else place

    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else 0
        raise RecipeError(f"{at(line)}: not valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        raise RecipeError(
            f"{at(line)}: control character {text[error.position]!r}; take it out"
        ) from error
    except ValueError as error:
        raise RecipeError(
            f"{place}: not valid YAML: {error}; "
            "put quotes around text that looks like a date or number"
        ) from error
    except RecursionError as error:
        raise RecipeError(f"{place}: not valid YAML: nested too deeply") from error
