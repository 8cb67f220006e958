"""Guards of the project's shape: tests of plug-ins, one-way imports, light start-up, documents."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill import plugins

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "cotdistill"
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "openai",
    "aiohttp",
    "matplotlib",
    "ray",
    "scipy",
    "peft",
    "uvloop",
    "vllm",
    "starlette",
    "uvicorn",
    "prometheus_client",
)

# A room may import itself and the rooms before it. A new top-level module or folder fails.
ROOMS = [
    {"records", "errors"},
    {"contracts"},
    {"plugins", "util", "text"},
    {"prompting", "data", "model", "lab", "checkpoints"},
    {"answers", "filters", "engines", "objectives", "methods", "strategies"},
    {"tasks", "teachers", "students", "executors"},
    {"recipe", "testing"},
    {"runs", "evaluation"},
    {"reporting"},
    {"stages", "sharing"},
    {"serving"},
    {"pipeline"},
    {"api"},
    {"cli"},
    {"__main__"},
]
TOP = {"__init__", "__main__", "contracts", "errors", "pipeline", "plugins", "recipe", "records"}


@functools.cache
def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        or "__init__": path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def imports(path: Path) -> set[str]:
    """Modules of this package that a file imports anywhere, "" being the package itself."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
            if node.module and node.module.split(".")[0] == "cotdistill":
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    known = modules()
    own = {name.removeprefix("cotdistill.") for name in found if name.startswith("cotdistill.")}
    return {name for name in own if name in known}


def room(module: str) -> int:
    top = module.split(".")[0]
    return next(index for index, names in enumerate(ROOMS) if top in names)


def test_no_new_top_level_module() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP


def test_no_underscore_module_is_imported_from_another_folder() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, path in modules().items()
        for other in imports(path)
        if other.split(".")[-1].startswith("_") and "__" not in other
        if module.split(".")[0] != other.split(".")[0]
    ]
    assert wrong == []


def test_a_class_name_means_one_thing() -> None:
    homes: dict[str, set[str]] = {}
    for module, path in modules().items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name.lstrip("_"), set()).add(module)
    assert len(homes) > 150
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    # "Return whether …", "The artifact …": a clause ("Whether …", "What …") hides what it names.
    clause = re.compile(r"(What|Whether|How|Who|Where|Which|When|Why)\b")
    found = [
        (module, ast.get_docstring(node) or "")
        for module, path in modules().items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert sum(bool(docstring) for _, docstring in found) > 600
    assert [(module, text) for module, text in found if clause.match(text)] == []


def test_no_line_is_over_100_columns() -> None:
    # Ruff (E501) holds it too, but lets lines pass that end in a pragma or are one long word.
    files = [
        path
        for folder in ("src", "tests", "benchmarks", "recipes")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert len(files) > 300
    wide = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > 100
    ]
    assert wide == []


def read_beside(module: str) -> set[str]:
    """The modules that define the names a module imports, contracts and records left out."""

    def homes(path: Path) -> dict[str, str]:
        found = {}
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cotdistill"):
                source = (node.module or "").removeprefix("cotdistill").lstrip(".") or "__init__"
                for name in (one.name for one in node.names):
                    inner = f"{source}.{name}".removeprefix("__init__.")
                    # A package's own file only hands names on: their homes are read.
                    handed = (
                        homes(modules()[source]) if modules()[source].stem == "__init__" else {}
                    )
                    found[name] = inner if inner in modules() else handed.get(name, source)
        return found

    return set(homes(modules()[module]).values()) - {"contracts", "records", "errors"}


@pytest.mark.parametrize("kind", ["methods", "strategies"])
def test_a_paper_is_read_in_its_file_and_three_modules_at_most(kind: str) -> None:
    names = [name for name in modules() if name.startswith(f"{kind}.")]
    assert len(names) >= 9
    opened = {name: read_beside(name) for name in names}
    assert len(set().union(*opened.values())) >= 3
    assert {name: more for name, more in opened.items() if len(more) > 3} == {}


def test_a_method_has_at_most_150_lines() -> None:
    lengths = {
        path.name: len(path.read_text("utf-8").splitlines())
        for path in (PACKAGE / "methods").glob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 150} == {}


def test_the_walk_of_a_question_opens_twelve_modules() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    walk = re.findall(r"^\| \d+ \| `([\w/]+)\.py` \|", page, re.MULTILINE)
    assert 0 < len(walk) <= 12
    names = [step.replace("/", ".") for step in walk]
    for place, name in enumerate(names[1:], 1):
        # Each is imported by one before it, or is a plug-in behind a contract.
        callers = {other for step in names[:place] for other in imports(modules()[step])}
        assert name in callers or name.split(".")[0] in plugins.KINDS, name


def test_imports_point_one_way() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, path in modules().items()
        if module != "__init__"
        for other in imports(path)
        if room(other) > room(module)
    ]
    assert wrong == []


def test_no_import_cycles() -> None:
    graph = {module: imports(path) - {module} for module, path in modules().items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, "cycle: " + " → ".join([*above[above.index(module) :], module])
        if module in done:
            return
        for other in graph[module]:
            visit(other, (*above, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("kind", sorted(plugins.KINDS))
def test_every_plugin_has_a_test_of_its_name(kind: str) -> None:
    own = [path.stem for path in (PACKAGE / kind).glob("*.py") if not path.stem.startswith("_")]
    assert len(own) >= {"tasks": 6, "teachers": 5, "methods": 6, "filters": 2, "answers": 4}.get(
        kind, 1
    )
    missing = [name for name in own if not (ROOT / "tests" / kind / f"test_{name}.py").exists()]
    assert missing == []


@pytest.mark.parametrize("kind", sorted(plugins.KINDS))
def test_every_plugin_is_found_and_says_what_it_is(kind: str) -> None:
    for name in plugins.names(kind):
        assert issubclass(plugins.find(kind, name), plugins.KINDS[kind])
        assert len(plugins.summary(kind, name)) > 5, f"{kind} {name} needs a docstring"


@pytest.mark.parametrize("arguments", [["-c", "import cotdistill"], ["-m", "cotdistill", "--help"]])
def test_start_up_is_light(arguments: list[str]) -> None:
    program = [sys.executable, "-X", "importtime", *arguments]
    result = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert "cotdistill" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_every_command_is_documented() -> None:
    import typer

    from cotdistill.cli.app import app

    commands = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert len(commands) >= 10
    documents = "\n".join(
        path.read_text("utf-8")
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    )
    assert [name for name in commands if f"cotdistill {name}" not in documents] == []


def test_every_shipped_recipe_parses() -> None:
    from cotdistill.recipe import load_recipe

    recipes = sorted([*(ROOT / "recipes").rglob("*.yaml"), *PACKAGE.glob("lab/*.yaml")])
    assert len(recipes) >= 3
    for path in recipes:
        assert load_recipe(path).methods


def test_no_dangerous_calls() -> None:
    banned = {"eval", "exec"}
    for module, path in modules().items():
        tree = parsed(path)
        calls = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert calls.isdisjoint(banned), module
        names = [
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        ]
        assert "pickle" not in names, module
