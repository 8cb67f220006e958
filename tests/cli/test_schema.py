"""`cotdistill schema`: what the schema takes is what recipes take, and the page is up to date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cotdistill.cli.schema import recipe_schema, reference_text
from cotdistill.recipe import SINGULAR, Recipe

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert page == reference_text(), "cotdistill schema --markdown > docs/reference.md"


def test_every_key_of_a_recipe_is_in_the_schema() -> None:
    keys = recipe_schema()["properties"].keys()
    assert keys == {*Recipe.model_fields, *SINGULAR, "filters", "train"}


def test_shipped_recipes_fit_and_misspelt_ones_do_not() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")
    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    recipes = sorted((ROOT / "recipes").rglob("*.yaml"))
    assert len(recipes) >= 3
    for path in recipes:
        check.validate(yaml.safe_load(path.read_text("utf-8")))
    good = yaml.safe_load("{task: coin_flip, methods: [{name: fine_tune_cot, samples: 8}]}")
    check.validate(good)
    for wrong in (
        {**good, "seeeds": [1]},
        {**good, "methods": [{"name": "fine_tune_cot", "sample": 8}]},
        {**good, "methods": ["fine_tune_coat"]},
        {**good, "train": {"epochs": 0}},
    ):
        assert not check.is_valid(wrong), json.dumps(wrong)
    check.validate({**good, "filters": ["my_module:Mine", {"name": "my_module:Mine", "keep": 1}]})
