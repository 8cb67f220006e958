"""Chain-of-thought distillation: from a large model's reasoning to a small model you own.

    import cotdistill

    result = cotdistill.run("recipe.yaml")
    result.to_frame()

The public names stand in `__init__.pyi`, each with the module it comes from, which is imported when
the name is first used: `import cotdistill` itself is light. docs/python.md shows them at work.
"""

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _homes() -> dict[str, str]:
    """The module of each public name."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def __getattr__(name: str) -> Any:
    # Python's own look-ups (__path__, __wrapped__) come here too and must not read the stub.
    if name.startswith("_") or (home := _homes().get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return vars(importlib.import_module(home))[name]


def __dir__() -> list[str]:
    return sorted([*_homes(), "__version__"])
