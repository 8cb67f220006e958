"""The recipe: one YAML file that says everything about a run; an unknown key is an error.

    name: my-run
    task: {name: custom, path: questions.jsonl, answer: number}
    teacher: {name: openai, model: gpt-4.1, base_url: https://api.openai.com/v1}
    student: {model: HuggingFaceTB/SmolLM2-135M}
    methods: [answer_only, {name: fine_tune_cot, samples: 8}]

A run is the grid of tasks × methods × students × seeds × strategies. `task`, `student` and
`strategy` may be given as `tasks`, `students` and `strategies`. Every plug-in entry is a bare name
or a mapping of `name` and settings; entries of one name take their `label` from their settings.
`filters` and `train` hold for every method that has none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from cotdistill import plugins
from cotdistill.contracts import Objective, Operational, Split, TrainSettings
from cotdistill.errors import RecipeError, UserError
from cotdistill.util.addresses import is_address, refuse_address, refuse_key
from cotdistill.util.naming import fingerprint, folder_name
from cotdistill.util.yaml_text import yaml_value

_Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""NumPy's generators take no other."""

DEFAULTS: dict[str, Any] = {
    "tasks": None,
    "teacher": "lab",
    "students": ["lab"],
    "methods": None,
    "filters": ["answer_match", "truncated", "duplicates"],
    "train": {},
    "strategies": ["greedy"],
    "engine": "auto",
    "executor": "local",
}

SINGULAR = {"task": "tasks", "student": "students", "strategy": "strategies"}

_PLURAL = {many: one for one, many in SINGULAR.items()}

ENTRY_KINDS = {
    "teacher": "teachers",
    "guide": "teachers",
    "engine": "engines",
    "executor": "executors",
}
"""Kind of plug-in of each key that holds one entry."""


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True
    )


class Entry(_Strict):
    """A plug-in with its label in folders and tables, and the settings it was given."""

    label: str
    name: str
    settings: dict[str, Any]
    plugin: Any

    @model_serializer
    def resolved(self) -> dict[str, Any]:
        """Return the entry as a recipe has it, with every default."""
        return {"label": self.label, "name": self.name, **self.plugin.model_dump(mode="json")}


class MethodEntry(Entry):
    """A method of the grid with its filters and training settings."""

    filters: tuple[Entry, ...]
    train: TrainSettings

    @model_serializer
    def resolved(self) -> dict[str, Any]:
        filters = [entry.resolved() for entry in self.filters]
        return {
            **super().resolved(),
            "filters": filters,
            "train": self.train.model_dump(mode="json"),
        }

    @property
    def objectives(self) -> list[Objective]:
        """Return the objective of each round: the recipe's, or else the method's own."""
        own = [self.plugin.objective(round) for round in range(len(self.plugin.rounds))]
        return [plugins.build("objectives", self.train.objective or one, Objective) for one in own]


class Limits(_Strict):
    """Number of questions of each split to use, from the front; null uses all."""

    train: int | None = Field(None, ge=1)
    validation: int | None = Field(None, ge=0)
    test: int | None = Field(None, ge=1)
    ood: int | None = Field(None, ge=1)

    def of(self, split: Split) -> int | None:
        """Return the limit of a split."""
        found: int | None = dict(self)[split]
        return found


class BudgetSettings(_Strict):
    """Limits of this run's spending; the run stops cleanly and a later one continues."""

    usd: float | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)


class Recipe(_Strict):
    """A whole run, checked: every plug-in exists and accepts its settings."""

    name: str
    """The run's folder in `output`; by default the name of the recipe's file."""
    output: Annotated[Path, Operational()] = Path("runs")
    """Folder of run folders."""
    tasks: tuple[Entry, ...]
    teacher: Entry
    guide: Entry | None = None
    students: tuple[Entry, ...]
    methods: tuple[MethodEntry, ...]
    strategies: tuple[Entry, ...]
    engine: Entry
    executor: Annotated[Entry, Operational()]
    seeds: tuple[_Seed, ...] = Field((0,), min_length=1)
    """Each student is trained once with each; rows of the report combine them."""
    evaluate_on: tuple[Literal["validation", "test", "ood"], ...] = Field(("test",), min_length=1)
    """Splits whose questions every model answers."""
    limit: Limits = Limits()
    """Questions of each split to use."""
    exemplars: Path | None = None
    """JSONL of worked questions for prompts; null: drawn from the training split."""
    completions: Annotated[Path | None, Operational()] = None
    """The log of paid completions; null: one in the run's folder. Runs may share one."""
    budget: Annotated[BudgetSettings, Operational()] = BudgetSettings()
    """What the run may spend, over all its calls."""
    max_concurrency: Annotated[int, Operational()] = Field(512, ge=1)
    """Questions worked on at once."""
    pilot: Annotated[int, Operational()] = Field(20, ge=0)
    """Questions whose rationales are judged before the rest is asked; 0 judges none."""

    @model_validator(mode="before")
    @classmethod
    def _entries(cls, data: dict[Any, Any]) -> dict[Any, Any]:
        known = sorted({*cls.model_fields, *SINGULAR, *DEFAULTS})
        for key in data:
            if key not in known:
                hint = plugins.hint(str(key), known, "a recipe has")
                raise ValueError(f"unknown key {key!r}; {hint}")
        for one, many in SINGULAR.items():
            if one in data and many in data:
                raise ValueError(f"give `{one}` or `{many}`, not both")
        given = {**DEFAULTS}
        for key, value in data.items():
            if value is not None:
                given[SINGULAR.get(key, key)] = [value] if key in SINGULAR else value
        shared = {"filters": given.pop("filters"), "train": given.pop("train")}
        for key in SINGULAR.values():
            given[key] = [_entry(key, item) for item in _listed(given[key], key)]
        given["methods"] = [
            _method(item, **shared) for item in _listed(given["methods"], "methods")
        ]
        entries = {
            key: _entry(kind, given[key]) for key, kind in ENTRY_KINDS.items() if key in given
        }
        return {**given, **entries}

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
    def _methods_can_run(self) -> Recipe:
        known = ["teacher", "base", *(["guide"] if self.guide else [])]
        for method in self.methods:
            _ = method.objectives  # one that does not exist is refused here
            role, selection = method.plugin.prompted_role, method.train.selection
            if role is not None and role not in known:
                raise ValueError(
                    f"methods {method.label}: no role {role!r} to prompt; "
                    f"this run has {', '.join(known)}"
                )
            selects = method.plugin.rounds and selection in ("accuracy", "loss")
            if selects and self.limit.validation == 0:
                raise ValueError(
                    f"methods {method.label}: `train.selection: {selection}` needs validation "
                    "questions and `limit.validation` is 0; raise it or select: last"
                )
        return self

    @model_validator(mode="after")
    def _labels_are_unique(self) -> Recipe:
        for place in ("tasks", "students", "methods", "strategies"):
            _refuse_shared_folders(place, [entry.label for entry in dict(self)[place]])
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
                f"students: {label!r} would share the folder of the stage {folder!r}; "
                "give another `label`"
            )
        other = owners.get(folder)
        if other == label:
            raise ValueError(f"{place}: two entries are called {label!r}; give one a `label`")
        if other is not None:
            raise ValueError(
                f"{place}: {other!r} and {label!r} would share the folder {folder!r}; "
                "change a `label`"
            )
        owners[folder] = label


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe in a YAML file; `overrides` are "a.b=value" settings laid over it.

    Relative paths in a recipe mean what they mean where the command runs.

    Raises:
        RecipeError: the file is missing, no YAML, or no valid recipe; the message names file, line
            or field, and remedy.
    """
    return recipe_of(path, dict(_setting(one) for one in overrides))


def recipe_of(
    source: Recipe | Mapping[str, Any] | str | Path, settings: Mapping[str, Any]
) -> Recipe:
    """Return the recipe in a file, a mapping or a recipe, with settings laid over it.

    `settings` has keys of a recipe ("seeds") or paths to one ("train.epochs"), and their values;
    `name` is the file's name by default, for a mapping "run".

    Raises:
        RecipeError: as `load_recipe`.
    """
    if isinstance(source, Recipe):
        source = source.model_dump(mode="json")
    if isinstance(source, Mapping):
        return parse_recipe(_laid_over({"name": "run", **source}, settings))
    path = Path(source)
    data = _laid_over({"name": path.stem, **_read(path)}, settings)
    try:
        return parse_recipe(data)
    except UserError as error:
        raise RecipeError(f"{path}: {str(error).removeprefix('recipe: ')}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}; `cotdistill init` writes a recipe") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from error
    data = yaml_value(text, path)
    if not isinstance(data, dict):
        raise RecipeError(
            f"{path}: a recipe is a mapping of keys such as `task` and `methods`; "
            "`cotdistill init` writes one"
        )
    return data


def refuse_missing_students(path: Path, recipe: Recipe) -> None:
    """Notice a student's wrong path before a teacher is paid; "a/b" may be a hub id and passes.

    Raises:
        RecipeError: model, config or tokenizer of a student is a path where nothing is.
    """
    for student in recipe.students:
        for field in ("model", "config", "tokenizer"):
            value = student.settings.get(field)
            if not isinstance(value, str) or not value.startswith((".", "/", "~")):
                continue
            if not Path(value).exists():
                raise RecipeError(
                    f"{path}: student {student.label}: {field}: {value} does not exist; "
                    "correct the path"
                )


def parse_recipe(data: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a mapping describes; a class or an object may stand for an entry.

    Raises:
        RecipeError: an unknown key, a missing one or a wrong value; the message names the remedy.
        PluginError: the same for a plug-in.
    """
    entries = plugins.as_entries(data)
    _refuse_keys("recipe", entries)
    try:
        recipe = Recipe.model_validate(entries)
    except ValidationError as error:
        raise RecipeError(plugins.settings_error("recipe", error, Recipe)) from error
    for field, value in recipe:
        refuse_address(value, f"recipe: {field}")
    return recipe


def _refuse_keys(place: str, value: Any) -> None:
    """Refuse a key in any address of a recipe: the recipe is copied, shown and compared.

    Raises:
        DataError: an address has one; the message does not hold it.
    """
    if is_address(value) and not value.split()[1:]:  # a text with an address in it is no address
        refuse_key(value, place)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_keys(f"{place}: {key}" if place == "recipe" else f"{place}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_keys(place, inner)


def resolved_yaml(recipe: Recipe) -> str:
    """Return the recipe with every default as YAML that `load_recipe` reads again."""
    data = recipe.model_dump(mode="json")
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _listed(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list | tuple) or (not value and key != "filters"):
        known = f": one or more of {', '.join(plugins.names(key))}" if key in plugins.KINDS else ""
        raise RecipeError(f"`{key}` must be a list{known}")
    return list(value)


def _entry(kind: str, value: Any) -> dict[str, Any]:
    student = kind == "students"
    short = "model" if student else "name"
    if not isinstance(value, str | Mapping):
        raise RecipeError(
            f"{kind}: {value!r} is neither a {short} nor a mapping of settings such as `{short}`"
        )
    settings = {short: value} if isinstance(value, str) else dict(value)
    if student:
        settings.setdefault("name", "transformers")
    label = settings.pop("label", None)
    if label is not None and not isinstance(label, str):
        raise RecipeError(
            f"{kind} {settings.get('name')}: label: {label!r} is not text; "
            f'put it in quotes: label: "{label}"'
        )
    plugin = plugins.build(kind, settings, plugins.KINDS[kind])
    name, telling = settings.pop("name"), settings
    if student:
        model = Path(str(settings.get("model") or settings.get("config") or "student")).name
        telling = {key: value for key, value in settings.items() if key == "lora"}
    label = label or plugin.default_label or _label(model if student else name, telling)
    return {"label": label, "name": name, "settings": settings, "plugin": plugin}


def _method(value: Any, filters: Any, train: Any) -> dict[str, Any]:
    settings = dict(value) if isinstance(value, Mapping) else {"name": value}
    own = settings.pop("train", {})
    if not isinstance(own, Mapping):
        raise RecipeError(
            f"methods {settings.get('name')}: `train` must be a mapping of training settings"
        )
    shared = _settings("train", train, TrainSettings).model_dump(exclude_unset=True)
    filters = _listed(settings.pop("filters", filters), "filters")
    return {
        "filters": [_entry("filters", item) for item in filters],
        "train": _settings("train", {**shared, **own}, TrainSettings),
        **_entry("methods", settings),
    }


_Settings = TypeVar("_Settings", bound=BaseModel)


def _settings(place: str, value: Any, model: type[_Settings]) -> _Settings:
    if not isinstance(value, Mapping):
        raise RecipeError(
            f"`{place}` must be a mapping with any of {', '.join(sorted(model.model_fields))}"
        )
    return plugins.checked(place, model, value)


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


def _setting(override: str) -> tuple[str, Any]:
    """Return key and value of "key=value", the value as YAML."""
    path, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(
            f"--set {override}: write it as key=value, for example --set train.epochs=3"
        )
    return path, yaml_value(value, f"--set {override}")


def _laid_over(data: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with each setting put at its path; no mapping that was given is changed."""
    data = dict(data)
    for path, value in settings.items():
        *parents, last = path.split(".")
        place = data
        for part in parents:
            inner = place.get(part) or {}
            if not isinstance(inner, Mapping):
                raise RecipeError(
                    f"{path}: {part!r} holds no settings by name; edit the recipe instead"
                )
            place[part] = dict(inner)
            place = place[part]
        if not parents:  # `task` replaces `tasks`, and the other way round
            place.pop(SINGULAR.get(last) or _PLURAL.get(last, ""), None)
        place[last] = value
    return data
