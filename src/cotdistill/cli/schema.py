"""`cotdistill schema`: every key of a recipe, as a JSON schema for editors or a page for people.

Both are made of the models that check a recipe, so they hold what this version takes, plug-ins of
other installed packages included.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

_MARKDOWN = "Print the page docs/reference.md instead."
_REF = "#/$defs/{model}"
_OWN = {"type": "string", "pattern": r"^[\w.]+:\w+$"}
"""A class of one's own, "module:Class"."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def schema(
        markdown: Annotated[bool, typer.Option("--markdown", help=_MARKDOWN)] = False,
    ) -> None:
        """Print the JSON schema of recipes: completion and checks in an editor."""
        typer.echo(reference_text() if markdown else schema_text(), nl=False)


def schema_text() -> str:
    """Return the JSON schema as text."""
    return json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"


def recipe_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a recipe."""
    from cotdistill import plugins
    from cotdistill.contracts import TrainSettings
    from cotdistill.recipe import DEFAULTS, ENTRY_KINDS, SINGULAR

    definitions: dict[str, Any] = {}
    keys = _plain_keys(definitions)
    definitions["train"], keys["train"] = _settings(TrainSettings, definitions), _ref("train")
    for kind in plugins.KINDS:
        definitions[kind] = _entry(kind, definitions)
    for key, kind in ENTRY_KINDS.items():
        keys[key] = _ref(kind)
    for key in (*SINGULAR.values(), "methods", "filters"):
        keys[key] = {"type": "array", "items": _ref(key)}
    for one, many in SINGULAR.items():
        keys[one] = _ref(many)
    for key, default in DEFAULTS.items():
        if default is not None and key != "train":
            keys[key] = {**keys[key], "default": default}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A cotdistill recipe",
        "type": "object",
        "properties": dict(sorted(keys.items())),
        "required": ["methods"],
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=name)}


def _plain_keys(definitions: dict[str, Any]) -> dict[str, Any]:
    """The keys that name no plug-in."""
    from pydantic import create_model

    from cotdistill.recipe import DEFAULTS, ENTRY_KINDS, Recipe

    entries = {*DEFAULTS, *ENTRY_KINDS}
    fields: Any = {
        name: (field.annotation, field)
        for name, field in Recipe.model_fields.items()
        if name not in entries
    }
    found: dict[str, Any] = _settings(create_model("Keys", **fields), definitions)["properties"]
    return found


def _settings(model: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model; those it refers to are added to the definitions."""
    found: dict[str, Any] = model.model_json_schema(ref_template=_REF)
    definitions.update(found.pop("$defs", {}))
    return found


def _entry(kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of an entry: a name, a class, or a mapping with the settings of its name."""
    from cotdistill import plugins

    names = plugins.names(kind)
    forms = [_form(kind, name, definitions) for name in names]
    own = {"type": "object", "properties": {"name": _OWN}, "required": ["name"]}
    bare = {"type": "string"} if kind == "students" else {"enum": names}
    return {"anyOf": [bare, _OWN, *forms, own]}


def _form(kind: str, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    from cotdistill import plugins

    found = _settings(plugins.find(kind, name), definitions)
    keys: dict[str, Any] = {"name": {"const": name, "description": plugins.summary(kind, name)}}
    keys |= {"label": {"type": "string", "description": "The name in folders and tables."}}
    if kind == "methods":
        keys |= {"filters": {"type": "array", "items": _ref("filters")}, "train": _ref("train")}
    # A student's framework has a default; every other entry is known by its name.
    needed = [] if kind == "students" else ["name"]
    return {
        "type": "object",
        "description": plugins.summary(kind, name),
        "properties": {**keys, **found.get("properties", {})},
        "required": [*needed, *found.get("required", [])],
        "additionalProperties": False,
    }


def reference_text() -> str:
    """Return the page with every key of a recipe and every setting of this package's plug-ins."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    from cotdistill import plugins
    from cotdistill.contracts import TrainSettings

    yield "# Every setting"
    yield ""
    yield (
        "Made from the models that check a recipe, by `cotdistill schema --markdown`; "
        "`cotdistill schema > recipe.schema.json`\ngives the same to an editor. "
        "[The recipe, key by key](recipe.md) explains how the keys go together."
    )
    definitions: dict[str, Any] = {}
    yield from _table("The recipe", {"properties": _plain_keys(definitions)}, "")
    yield from _table("`train`", _settings(TrainSettings, definitions), "")
    for kind in plugins.KINDS:
        yield f"\n# {kind.capitalize()}"
        for name in plugins.names(kind):
            if (Path(plugins.__file__).parent / kind / f"{name}.py").exists():
                about = plugins.summary(kind, name)
                found = _settings(plugins.find(kind, name), definitions)
                yield from _table(f"`{name}`", found, about)
    models = {name: found for name, found in sorted(definitions.items()) if "properties" in found}
    yield "\n# Mappings of settings"
    for name, found in models.items():
        yield from _table(name, found, "")
    yield ""


def _table(title: str, found: Mapping[str, Any], about: str) -> Iterator[str]:
    yield f"\n## {title}\n"
    if about:
        yield about + "\n"
    keys: Mapping[str, Mapping[str, Any]] = found.get("properties", {})
    if not keys:
        yield "No settings."
        return
    yield "| key | values | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in keys.items():
        default = (
            f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else "–"
        )
        meaning = " ".join(str(field.get("description", "")).split()).replace("|", "\\|")
        yield f"| `{key}` | {_values(field)} | {default} | {meaning} |".replace("  |", " |")


def _values(field: Mapping[str, Any]) -> str:
    """Return the values that a schema allows, in words."""
    if "anyOf" in field:
        return ", or ".join(dict.fromkeys(map(_values, field["anyOf"])))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        return f"a mapping of {str(field['$ref']).rpartition('/')[2]}"
    kind = str(field.get("type", "anything"))
    if kind == "array":
        items = field.get("items", field.get("prefixItems", [{}]))
        return f"list of {_values(items if isinstance(items, Mapping) else items[0])}"
    bounds = [
        f"{word} {field[bound]}"
        for bound, word in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if bound in field
    ]
    words = {"string": "text", "boolean": "true, false", "object": "mapping"}
    return " ".join([words.get(kind, kind), ", ".join(bounds)]).strip()
