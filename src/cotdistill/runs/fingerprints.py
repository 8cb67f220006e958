"""Fingerprints of a plug-in: settings that can change its results and the source of its prompts.

Left out: settings marked `contracts.Operational`, comments, and this package's infrastructure
(client, engines, files). The content of a file that a setting names as a `Path` counts; that of
another file where the plug-in says so (`Plugin.contents`).
"""

import ast
import functools
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import cotdistill
from cotdistill.contracts import Plugin, identity
from cotdistill.runs.live_code import code_of
from cotdistill.util.files import file_hash, file_stamp
from cotdistill.util.naming import fingerprint

_PROMPTING = ("answers", "filters", "methods", "objectives", "prompting", "strategies", "text")
"""Folders of this package that make prompts, read replies, or decide what is kept and learnt."""

_PACKAGES = {"site-packages", "dist-packages"}
"""Folders of installed packages by name: a process has several (of the user, of a base Python)."""


def source(plugin: type[Any]) -> str:
    """Return the hash of the code of a plug-in's module and of the modules its prompts come from.

    Imports are followed into the plug-in's own package and into local files; of this package only
    into the folders that make prompts or read replies. "" for a plug-in of this package's
    infrastructure (teachers, engines), whose results its settings determine. Of a script or
    notebook counts what the class uses, and not what stands beside it.
    """
    if plugin.__module__ == "__main__":
        used = code_of(plugin)
        return fingerprint([used.here, sorted(map(_source, used.modules))])
    return _source(plugin.__module__)


def contents(settings: BaseModel) -> Any:
    """Return what shows a change of the files that settings name; None where they name none."""
    own = settings.contents() if isinstance(settings, Plugin) else None
    kept = identity(settings)  # an operational setting changes no result
    paths = {name: value for name, value in settings if name in kept and isinstance(value, Path)}
    named = {name: file_hash(path) for name, path in paths.items() if path.is_file()}
    return own or named or None


@functools.cache  # a module that is loaded stays what it is for the life of the process
def _source(root: str) -> str:
    found: dict[str, str] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name in found or not _counts(name, root) or (path := _file(name)) is None:
            continue
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        found[name] = _code(tree, text)
        waiting += _imports(tree, name, package=path.name == "__init__.py")
    parts = "\n".join(f"{name}\n{code}" for name, code in sorted(found.items()))
    return hashlib.sha256(parts.encode()).hexdigest()[:32] if found else ""


def _counts(name: str, root: str) -> bool:
    package, _, rest = name.partition(".")
    if package == "cotdistill":
        return rest.partition(".")[0] in _PROMPTING
    # Only the topmost package is looked for: that imports nothing, however heavy its inside is.
    path = _file(package)
    return package == root.partition(".")[0] or not (path is None or _installed(path))


def _installed(path: Path) -> bool:
    return path.is_relative_to(sysconfig.get_path("stdlib")) or not _PACKAGES.isdisjoint(path.parts)


def _file(name: str) -> Path | None:
    """The Python file of a module; None where it has none (built in, compiled, no module)."""
    if name in sys.modules:
        place = vars(sys.modules[name]).get("__file__")
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # a class or function, not a module
            return None
        place = spec.origin if spec is not None else None
    return Path(place) if place is not None and place.endswith(".py") else None


def _imports(tree: ast.AST, name: str, *, package: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = name.split(".")[: len(name.split(".")) - node.level + package]
            above = parents if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _code(tree: ast.AST, text: str) -> str:
    """The code without comments and, where no code reads them, without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None and "__doc__" not in text
            node.body = [ast.Pass(), *node.body[1:]] if documented else node.body
    return ast.unparse(tree)


@functools.cache  # the code of this process stays what it is
def reading_code() -> list[list[Any]]:
    """Return sizes and times of this package's modules that make questions of data files."""
    package = Path(cotdistill.__file__).parent
    places = ("records.py", "tasks/*.py", "data/*.py", "answers/*.py", "text/*.py")
    return [file_stamp(path) for place in places for path in sorted(package.glob(place))]
