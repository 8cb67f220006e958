"""The recipe: one YAML file that says everything about a run, as pydantic models; an unknown key is an error.

    name: my-run
    task: {name: custom, path: questions.jsonl, answer: number}
    teacher: {name: openai, model: gpt-4.1, base_url: https://api.openai.com/v1}
    student: {model: HuggingFaceTB/SmolLM2-135M}
    methods: [answer_only, {name: fine_tune_cot, samples: 8}]

A run is the grid of tasks × methods × students × seeds × strategies. `task`, `student` and `strategy` may be given as
`tasks`, `students` and `strategies`. Every plug-in entry is a bare name or a mapping of `name` and settings; entries
that would be told apart only by their settings take their `label` from them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cotdistill import plugins
from cotdistill.contracts import (
    EnginePlugin,
    Executor,
    Filter,
    Method,
    Plugin,
    Split,
    Strategy,
    Task,
    Teacher,
)
from cotdistill.errors import PluginError, RecipeError
from cotdistill.students.settings import StudentSettings, TrainSettings
from cotdistill.util.naming import fingerprint, folder_name

__all__ = [
    "Budget",
    "Entry",
    "Limits",
    "MethodEntry",
    "Recipe",
    "StudentEntry",
    "load_recipe",
    "parse_recipe",
    "refuse_missing_students",
    "resolved_yaml",
]

_Kind = TypeVar("_Kind", bound=Plugin)

_Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""NumPy's generators take no other."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Entry(_Strict):
    """A plug-in of the grid with the label it goes by in folders and tables, and the settings it was given."""

    label: str
    name: str
    settings: dict[str, Any]
    plugin: Any

    def identity(self) -> dict[str, Any]:
        """What the plug-in is, for fingerprints: all its settings, defaults included."""
        return {"name": self.name, **self.plugin.model_dump(mode="json")}


class MethodEntry(Entry):
    """A method of the grid; it may have its own filters and training settings."""

    filters: tuple[Entry, ...]
    train: TrainSettings


class StudentEntry(_Strict):
    """A student of the grid."""

    label: str
    settings: StudentSettings


class Limits(_Strict):
    """How many questions of each split to use, from the front; null uses all."""

    train: int | None = Field(None, ge=1)
    validation: int | None = Field(None, ge=0)
    test: int | None = Field(None, ge=1)
    ood: int | None = Field(None, ge=1)

    def of(self, split: Split) -> int | None:
        return {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "ood": self.ood,
        }[split]


class Budget(_Strict):
    """What the teacher may cost in this run; the run stops cleanly when it is spent and a later run goes on."""

    usd: float | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)


class Recipe(_Strict):
    """A whole run, checked: every plug-in exists and accepts its settings."""

    name: str
    output: Path = Path("runs")
    tasks: tuple[Entry, ...]
    teacher: Entry
    guide: Entry | None = None
    students: tuple[StudentEntry, ...]
    methods: tuple[MethodEntry, ...]
    strategies: tuple[Entry, ...]
    engine: Entry
    executor: Entry
    seeds: tuple[_Seed, ...] = Field((0,), min_length=1)
    evaluate_on: tuple[Literal["validation", "test", "ood"], ...] = Field(("test",), min_length=1)
    limit: Limits = Limits()
    exemplars: Path | None = None
    completions: Path | None = None
    budget: Budget = Budget()
    max_concurrency: int = Field(512, ge=1)

    @field_validator("name")
    @classmethod
    def _a_folder_in_output(cls, name: str) -> str:
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            raise ValueError(
                f"{name!r} names no folder inside `output`; put the place into `output`"
            )
        return name

    @field_validator("seeds", "evaluate_on")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{value!r} is there more than once; give each once")
        return values

    @model_validator(mode="after")
    def _prompted_roles_exist(self) -> Recipe:
        known = ["teacher", "base", *(["guide"] if self.guide else [])]
        for method in self.methods:
            role = method.plugin.prompted_role
            if role is not None and role not in known:
                raise ValueError(
                    f"methods {method.label}: no role {role!r} to prompt; this run has {', '.join(known)}"
                )
        return self

    @model_validator(mode="after")
    def _labels_are_unique(self) -> Recipe:
        groups: dict[str, Sequence[Any]] = {
            "tasks": self.tasks,
            "students": self.students,
            "methods": self.methods,
            "strategies": self.strategies,
        }
        for place, entries in groups.items():
            _refuse_shared_folders(place, [entry.label for entry in entries])
        return self

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output / self.name


_STAGES_BESIDE_STUDENTS = ("generate", "curate")
"""Folders that a method's folder holds beside those of its students."""


def _refuse_shared_folders(place: str, labels: Sequence[str]) -> None:
    owners: dict[str, str] = {}
    for label in labels:
        try:
            # Some file systems take names that differ by case alone for the same.
            folder = folder_name(label).casefold()
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        if place == "students" and folder in _STAGES_BESIDE_STUDENTS:
            raise ValueError(
                f"students: {label!r} would share the folder of the stage {folder!r}; give another `label`"
            )
        other = owners.get(folder)
        if other == label:
            raise ValueError(f"{place}: two entries are called {label!r}; give one a `label`")
        if other is not None:
            raise ValueError(
                f"{place}: {other!r} and {label!r} would share the folder {folder!r}; change a `label`"
            )
        owners[folder] = label


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file; `overrides` are "a.b=value" settings laid over it.

    Relative paths in a recipe mean what they mean where the command runs.

    Raises:
        RecipeError: the file is missing, no YAML, or no valid recipe; the message names file, line or field, and remedy.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}; `cotdistill init` writes a recipe") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from error
    data = _yaml(text, path)
    if not isinstance(data, dict):
        raise RecipeError(
            f"{path}: a recipe is a mapping of keys such as `task` and `methods`; `cotdistill init` writes one"
        )
    for override in overrides:
        _override(data, override)
    data.setdefault("name", path.stem)
    try:
        return parse_recipe(data)
    except (RecipeError, PluginError) as error:
        raise RecipeError(f"{path}: {error}") from error


def refuse_missing_students(path: Path, recipe: Recipe) -> None:
    """Notice a student's wrong path before a teacher is paid; "a/b" may be a hub id and is left to the loader.

    Raises:
        RecipeError: model, config or tokenizer of a student is a path where nothing is.
    """
    for student in recipe.students:
        for field in ("model", "config", "tokenizer"):
            value = getattr(student.settings, field)
            if (
                isinstance(value, str)
                and value.startswith((".", "/", "~"))
                and not Path(value).exists()
            ):
                raise RecipeError(
                    f"{path}: student {student.label}: {field}: {value} does not exist; correct the path"
                )


def parse_recipe(data: Mapping[str, Any]) -> Recipe:
    """The recipe a mapping describes.

    Raises:
        RecipeError: an unknown key, a missing one or a wrong value; the message names it and the remedy.
        PluginError: the same for a plug-in.
    """
    rest = dict(data)
    known = {*Recipe.model_fields, "task", "student", "strategy", "filters", "train"}
    for key in rest:
        if key not in known:
            near = difflib.get_close_matches(str(key), sorted(known), n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"a recipe has {', '.join(sorted(known))}"
            )
            raise RecipeError(f"unknown key {key!r}; {hint}")
    train = _settings("train", rest.pop("train", {}), TrainSettings)
    filters = _listed(rest.pop("filters", ["answer_match", "duplicates"]), "filters")
    fields: dict[str, Any] = {
        "tasks": [_entry("tasks", item, Task) for item in _grid(rest, "task", "tasks", None)],
        "teacher": _entry("teachers", rest.pop("teacher", "lab"), Teacher),
        "guide": _entry("teachers", rest.pop("guide"), Teacher)
        if rest.get("guide") is not None
        else rest.pop("guide", None),
        "students": [_student(item) for item in _grid(rest, "student", "students", "lab")],
        "methods": [
            _method(item, filters, train) for item in _listed(rest.pop("methods", None), "methods")
        ],
        "strategies": [
            _entry("strategies", item, Strategy)
            for item in _grid(rest, "strategy", "strategies", "greedy")
        ],
        "engine": _entry("engines", rest.pop("engine", "transformers"), EnginePlugin),
        "executor": _entry("executors", rest.pop("executor", "local"), Executor),
    }
    rest = {key: value for key, value in rest.items() if value is not None}
    try:
        return Recipe(**fields, **rest)
    except ValidationError as error:
        raise RecipeError(plugins.settings_error("recipe", error, Recipe)) from error


def resolved_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out, as YAML that `load_recipe` reads again."""
    data = {
        "name": recipe.name,
        "output": str(recipe.output),
        "tasks": [_dump(entry) for entry in recipe.tasks],
        "teacher": _dump(recipe.teacher, label=False),
        "guide": _dump(recipe.guide, label=False) if recipe.guide else None,
        "students": [
            {"label": entry.label, **entry.settings.model_dump(mode="json")}
            for entry in recipe.students
        ],
        "methods": [
            {
                **_dump(entry),
                "filters": [_dump(item, label=False) for item in entry.filters],
                "train": entry.train.model_dump(mode="json"),
            }
            for entry in recipe.methods
        ],
        "strategies": [_dump(entry) for entry in recipe.strategies],
        "engine": _dump(recipe.engine, label=False),
        "executor": _dump(recipe.executor, label=False),
        **recipe.model_dump(
            mode="json",
            include={
                "seeds",
                "evaluate_on",
                "limit",
                "exemplars",
                "completions",
                "budget",
                "max_concurrency",
            },
        ),
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _dump(entry: Entry, *, label: bool = True) -> dict[str, Any]:
    return {**({"label": entry.label} if label else {}), **entry.identity()}


def _grid(rest: dict[str, Any], one: str, many: str, default: str | None) -> list[Any]:
    if one in rest and many in rest:
        raise RecipeError(f"give `{one}` or `{many}`, not both")
    if one in rest:
        return [rest.pop(one)]
    return _listed(rest.pop(many, [default] if default else None), many)


def _listed(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list | tuple) or (not value and key != "filters"):
        kind = key if key in plugins.KINDS else "methods"
        known = f": one or more of {', '.join(plugins.names(kind))}" if kind == key else ""
        raise RecipeError(f"`{key}` must be a list{known}")
    return list(value)


def _entry(
    kind: str, value: Any, expected: type[_Kind], reserved: Mapping[str, Any] | None = None
) -> Any:
    if not isinstance(value, str | Mapping):
        raise RecipeError(f"{kind}: {value!r} is neither a name nor a mapping with a `name`")
    settings = {} if isinstance(value, str) else dict(value)
    name = value if isinstance(value, str) else settings.pop("name", None)
    label = _own_label(f"{kind} {name}", settings)
    plugin = plugins.build(kind, {"name": name, **settings}, expected)
    made = {
        "label": label or _label(str(name), settings),
        "name": name,
        "settings": settings,
        "plugin": plugin,
    }
    return MethodEntry(**made, **reserved) if reserved is not None else Entry(**made)


def _method(value: Any, filters: list[Any], train: TrainSettings) -> MethodEntry:
    settings = dict(value) if isinstance(value, Mapping) else {"name": value}
    own_filters = _listed(settings.pop("filters", filters), "filters")
    own_train = settings.pop("train", {})
    if not isinstance(own_train, Mapping):
        raise RecipeError(
            f"methods {settings.get('name')}: `train` must be a mapping of training settings"
        )
    merged = _settings(
        "train", {**train.model_dump(exclude_unset=True), **own_train}, TrainSettings
    )
    entries = tuple(_entry("filters", item, Filter) for item in own_filters)
    made: MethodEntry = _entry("methods", settings, Method, {"filters": entries, "train": merged})
    return made


def _student(value: Any) -> StudentEntry:
    if not isinstance(value, str | Mapping):
        raise RecipeError(
            f"students: {value!r} is neither a model nor a mapping of settings such as `model`"
        )
    settings = {"model": value} if isinstance(value, str) else dict(value)
    label = _own_label("students", settings)
    student = _settings("student", settings, StudentSettings)
    name = Path(str(settings.get("model") or settings.get("config") or "student")).name
    return StudentEntry(
        label=label or _label(name, {k: v for k, v in settings.items() if k == "lora"}),
        settings=student,
    )


def _own_label(place: str, settings: dict[str, Any]) -> str | None:
    label = settings.pop("label", None)
    if label is not None and not isinstance(label, str):
        raise RecipeError(
            f'{place}: label: {label!r} is not text; put it in quotes: label: "{label}"'
        )
    return label


_Settings = TypeVar("_Settings", bound=BaseModel)


def _settings(place: str, value: Any, model: type[_Settings]) -> _Settings:
    if not isinstance(value, Mapping):
        raise RecipeError(
            f"`{place}` must be a mapping with any of {', '.join(sorted(model.model_fields))}"
        )
    try:
        return model(**value)
    except TypeError as error:
        raise RecipeError(f"{place}: setting names must be text; {error}") from error
    except ValidationError as error:
        raise RecipeError(plugins.settings_error(place, error, model)) from error


def _label(name: str, settings: Mapping[str, Any]) -> str:
    short = [
        f"{key}={value}"
        for key, value in settings.items()
        if isinstance(value, str | int | float) and len(str(value)) < 24
    ]
    deep = {
        key: value
        for key, value in settings.items()
        if not isinstance(value, str | int | float | None)
    }
    tag = [fingerprint(deep)[:4]] if deep else []
    return " ".join([name.rpartition(":")[2], *short, *tag])


def _yaml(text: str, place: str | Path) -> Any:
    """The value of a YAML text; `place` is its file, whose lines are then named, or where else it stands."""

    def at(index: int) -> str:
        return f"{place}:{index + 1}" if isinstance(place, Path) else place

    try:
        return yaml.safe_load(text)
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
            f"{place}: not valid YAML: {error}; put quotes around text that looks like a date or number"
        ) from error
    except RecursionError as error:
        raise RecipeError(f"{place}: not valid YAML: nested too deeply") from error


def _override(data: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(
            f"--set {override}: write it as key=value, for example --set train.epochs=3"
        )
    *parents, last = path.split(".")
    place: Any = data
    for part in parents:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise RecipeError(
                f"--set {override}: {part!r} holds no settings by name; edit the recipe instead"
            )
    place[last] = _yaml(value, f"--set {override}")
