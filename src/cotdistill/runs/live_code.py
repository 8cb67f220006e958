"""The code of a class that was defined in the running script or notebook, as far as it is used.

A cell has no file, and most of a script has nothing to do with its classes. So the functions of a
class count by their compiled code (instructions, names and constants; no comments, no docstrings),
together with the functions, classes and values of the script that they name, and so on from there.
A value counts by its `repr`; one whose `repr` shows an address, by its type alone.
"""

import functools
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple

_HERE = "__main__"


class UsedCode(NamedTuple):
    """The parts of a class of the running script."""

    here: list[str]
    """Its code and that of the script's functions, classes and values behind it, sorted."""
    modules: set[str]
    """Names of the modules that these use."""


def code_of(plugin: type[Any]) -> UsedCode:
    """Return the code that a class of the running script or notebook uses."""
    found, modules = [], set()
    seen: dict[int, Any] = {}  # holds the objects, so that no other gets the same id
    waiting: list[Any] = [plugin]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        module = one.__name__ if inspect.ismodule(one) else one.__module__
        if module != _HERE:
            modules.add(str(module))
            continue
        text, behind = _of_class(one) if inspect.isclass(one) else _of_function(one)
        found.append(text)
        waiting += behind
    return UsedCode(sorted(found), modules)


_Described = tuple[str, list[Any]]
"""A text, and the functions, classes and modules that it stands on."""


def _of_class(kind: type[Any]) -> _Described:
    private = vars(kind).get("__private_attributes__", {})
    members = {name: attribute.default for name, attribute in private.items()}
    for name, value in vars(kind).items():
        value = _unwrapped(value)
        generated = name.startswith(("__", "_abc_", "model_"))
        if not generated or (isinstance(value, FunctionType) and value.__module__ == _HERE):
            members[name] = value
    text, behind = _of_value(members)
    return f"class {kind.__qualname__} {text}", [*kind.__mro__[1:], *behind]


def _unwrapped(member: Any) -> Any:
    if isinstance(member, classmethod | staticmethod):
        return member.__func__
    if isinstance(member, property):
        return member.fget
    return member.func if isinstance(member, functools.cached_property) else member


def _of_function(function: FunctionType) -> _Described:
    named = {name for code in _nested(function.__code__) for name in code.co_names}
    scope = function.__globals__
    enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
    values = [
        {name: scope[name] for name in sorted(named) if name in scope},
        enclosed,
        function.__defaults__,
        function.__kwdefaults__,
    ]
    text, behind = _of_value(values)
    return f"def {function.__qualname__} {_compiled(function)} {text}", behind


def _compiled(function: FunctionType) -> str:
    parts = []
    for code in _nested(function.__code__):
        constants = [one for one in code.co_consts if not isinstance(one, CodeType)]
        if code is function.__code__ and function.__doc__ in constants[:1]:
            constants = constants[1:]
        names = (code.co_names, code.co_varnames, code.co_freevars)
        parts.append(f"{code.co_code.hex()} {names} {_of_value(constants)[0]}")
    return "\n".join(parts)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _of_value(value: Any) -> _Described:
    """Describe a value; sets in a fixed order, for theirs differs from process to process."""
    if isinstance(value, Mapping):
        return _of_parts([part for pair in value.items() for part in pair], sort=False)
    if isinstance(value, list | tuple | set | frozenset):
        return _of_parts(list(value), sort=isinstance(value, set | frozenset))
    if inspect.ismodule(value):
        return value.__name__, [value]
    if inspect.isclass(value) or isinstance(value, FunctionType):
        return value.__qualname__, [value]
    text = repr(value)
    return (type(value).__qualname__ if " at 0x" in text else text), []


def _of_parts(values: list[Any], *, sort: bool) -> _Described:
    described = [_of_value(value) for value in values]
    texts = [text for text, _ in described]
    behind = [one for _, part in described for one in part]
    return f"[{', '.join(sorted(texts) if sort else texts)}]", behind
