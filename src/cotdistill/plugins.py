"""Finds a plug-in by its file name, or by another package's entry point. There is no list to keep.

`methods/fine_tune_cot.py` holds the method `fine_tune_cot`: the one public class of that file which
derives from the contract of its folder. Another package offers one by an entry point of the group
"cotdistill.methods":

    [project.entry-points."cotdistill.methods"]
    my_method = "my_package.my_method:MyMethod"

A recipe may also name a class directly as "my_package.my_module:MyMethod": a recipe is code. From
Python the class or an object of it stands for its entry.
Listing reads docstrings without importing.
"""

import ast
import difflib
import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from cotdistill import contracts
from cotdistill.errors import PluginError, UserError
from cotdistill.util.addresses import refuse_address

KINDS: dict[str, type[contracts.Plugin]] = {
    "tasks": contracts.Task,
    "answers": contracts.AnswerType,
    "teachers": contracts.Teacher,
    "methods": contracts.Method,
    "filters": contracts.Filter,
    "strategies": contracts.Strategy,
    "engines": contracts.EnginePlugin,
    "executors": contracts.Executor,
    "objectives": contracts.Objective,
    "students": contracts.Student,
}
"""Folder of each kind of plug-in and the contract its classes derive from."""

_Plugin = TypeVar("_Plugin", bound=contracts.Plugin)
_Model = TypeVar("_Model", bound=BaseModel)


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind, sorted: files of its folder, and entry points."""
    own = [
        module.name
        for module in pkgutil.iter_modules([str(_folder(kind))])
        if not module.name.startswith("_")
    ]
    return sorted({*own, *_entry_points(kind)})


def summary(kind: str, name: str) -> str:
    """Return the first line of a plug-in's docstring, without importing this package's files."""
    path = _folder(kind) / f"{name}.py"
    if not path.exists():
        return (inspect.getdoc(find(kind, name)) or "").split("\n")[0]
    classes = [
        node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)
    ]
    public = [node for node in classes if not node.name.startswith("_") and ast.get_docstring(node)]
    return (ast.get_docstring(public[-1]) or "").split("\n")[0] if public else ""


def find(kind: str, name: str) -> type[contracts.Plugin]:
    """Return the class of a plug-in.

    Raises:
        PluginError: there is none of that name (the message offers the nearest), or its file holds
            no such class.
    """
    base = KINDS[kind]
    if ":" in name:
        return _named_class(kind, name)
    points = _entry_points(kind)
    if name in points and not (_folder(kind) / f"{name}.py").exists():
        return _checked(points[name].load(), base, f"entry point {name} of cotdistill.{kind}")
    known = names(kind)
    if name not in known:
        raise PluginError(
            f"{kind}: no {name!r}; {hint(name, known, 'there are')} "
            f"(`cotdistill list {kind}` shows all)"
        )
    module = importlib.import_module(f"cotdistill.{kind}.{name}")
    found = [
        member
        for label, member in vars(module).items()
        if inspect.isclass(member) and issubclass(member, base) and not label.startswith("_")
        if member.__module__ == module.__name__
    ]
    if not found:
        raise PluginError(
            f"{kind}: {module.__file__} defines no public class derived from {base.__name__}"
        )
    return found[-1]


def build(kind: str, entry: Any, expected: type[_Plugin]) -> _Plugin:
    """Return a plug-in of a recipe entry: a bare name, a mapping with `name` and settings, or, from
    Python, a class or an object.

    Raises:
        PluginError: unknown name or refused settings; the message names the field and the remedy.
    """
    entry = as_entries(entry)
    settings = {"name": entry} if isinstance(entry, str) else dict(entry)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise PluginError(
            f"{kind}: {dict(settings)!r} needs a `name`; one of {', '.join(names(kind))}"
        )
    plugin = checked(f"{kind} {name}", find(kind, name), settings)
    assert isinstance(plugin, expected), f"{plugin!r} is no {expected.__name__}"
    return plugin


def as_entries(data: Any) -> Any:
    """Return recipe data with every plug-in's class or object in it as the entry that makes it
    again; `{"name": MyMethod, "label": "mine"}` adds to it.

    Raises:
        PluginError: a class that has no name to be found by, or an object that its settings do not
            make again: the run could not be resumed.
    """
    if isinstance(data, contracts.Plugin):
        return _entry_of_object(data)
    if _is_plugin_class(data):
        return {"name": _name_of(data)}
    if isinstance(data, list | tuple):
        return [as_entries(value) for value in data]
    if not isinstance(data, Mapping):
        return data
    entry = {key: as_entries(value) for key, value in data.items()}
    named = data.get("name")
    given = isinstance(named, contracts.Plugin) or _is_plugin_class(named)
    return {**entry, **entry["name"]} if given else entry


def _is_plugin_class(value: Any) -> TypeGuard[type[contracts.Plugin]]:
    return inspect.isclass(value) and issubclass(value, contracts.Plugin)


def _entry_of_object(plugin: contracts.Plugin) -> dict[str, Any]:
    name, kind = _name_of(type(plugin)), type(plugin)
    try:
        settings = plugin.model_dump(mode="json", exclude_unset=True)
        again = kind(**settings) == plugin
    except (PydanticSerializationError, ValidationError) as error:
        raise PluginError(
            f"{name}: its settings cannot be noted in the run folder ({error}); "
            "let its fields be texts, numbers, and lists or mappings of them"
        ) from error
    if not again:
        raise PluginError(
            f"{name}: its settings alone do not make it again, so its run could not be resumed; "
            "keep all that it needs in fields"
        )
    return {"name": name, **settings}


def _name_of(kind: type[contracts.Plugin]) -> str:
    package, *place = kind.__module__.split(".")
    if package == "cotdistill" and len(place) == 2 and place[0] in KINDS:
        return place[1]
    module = sys.modules.get(kind.__module__)
    if module is None or vars(module).get(kind.__name__) is not kind:
        raise PluginError(
            f"{kind.__module__}:{kind.__qualname__} is not what stands under that name: define the "
            "class at the top of a module, script or notebook, and make its objects after that"
        )
    return f"{kind.__module__}:{kind.__name__}"


def checked(place: str, model: type[_Model], settings: Mapping[str, Any]) -> _Model:
    """Return a model with its settings.

    Raises:
        PluginError: it refuses them; the message begins with `place` and names field and remedy.
    """
    try:
        made = model(**settings)
    except ValidationError as error:
        raise PluginError(settings_error(place, error, model)) from error
    except TypeError as error:
        raise PluginError(f"{place}: setting names must be text; {error}") from error
    for field, value in made:
        refuse_address(value, f"{place}: {field}")
    return made


def settings_error(place: str, error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line for pydantic's complaint: place, field, fault, nearest known field."""
    errors = error.errors()
    # A misspelt key comes first: it is the cause where another one is said to be missing.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return str(cause)
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        for part in first["loc"][:-1]:
            inner = model.model_fields[str(part)].annotation if part in model.model_fields else None
            model = inner if inspect.isclass(inner) and issubclass(inner, BaseModel) else model
        known = sorted(model.model_fields)
        near = hint(str(first["loc"][-1]), known, "it has") if known else "it has no settings"
        return f"{place}: unknown setting {field!r}; {near}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {field + ': ' if field else ''}{message}"


def hint(word: str, known: Sequence[str], otherwise: str) -> str:
    """Return "did you mean" with the nearest known word, or all of them after `otherwise`."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"{otherwise} {', '.join(known)}"


def _folder(kind: str) -> Path:
    return Path(__file__).parent / kind


def _entry_points(kind: str) -> Mapping[str, importlib.metadata.EntryPoint]:
    # Reading every package's metadata takes milliseconds, and a run asks a hundred times. A package
    # that is installed meanwhile changes the time of its folder, or `sys.path`.
    changed = [path.stat().st_mtime_ns if path.exists() else 0 for path in map(Path, sys.path)]
    return _entry_points_in(tuple(zip(sys.path, changed, strict=True)), kind)


@functools.lru_cache(maxsize=64)
def _entry_points_in(
    places: tuple[tuple[str, int], ...], kind: str
) -> Mapping[str, importlib.metadata.EntryPoint]:
    points = importlib.metadata.entry_points(group=f"cotdistill.{kind}")
    return {point.name: point for point in points}


def _named_class(kind: str, name: str) -> type[contracts.Plugin]:
    module_name, _, class_name = name.partition(":")
    _look_here(module_name.partition(".")[0])
    try:
        member = vars(importlib.import_module(module_name))[class_name]
    except (ImportError, KeyError) as error:
        remedy = "write it as package.module:Class"
        if module_name == "__main__":
            remedy = (
                "it was defined in a script or notebook: run that again, or move the class into a "
                "file my_module.py and name it my_module:" + class_name
            )
        raise PluginError(f"{kind}: cannot load {name!r}: {error!r}; {remedy}") from error
    return _checked(member, KINDS[kind], name)


def _look_here(package: str) -> None:
    """Let a module in the folder of the call be found, as `python -m` does, behind all others."""
    here = str(Path.cwd())
    beside = any(Path(here, name).exists() for name in (f"{package}.py", f"{package}/__init__.py"))
    if beside and here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _checked(member: Any, base: type[contracts.Plugin], place: str) -> type[contracts.Plugin]:
    if not (_is_plugin_class(member) and issubclass(member, base)):
        raise PluginError(
            f"{place} is no {base.__name__}: derive it from cotdistill.contracts.{base.__name__}"
        )
    return member
