"""Recipes: bare names and mappings, grids, overrides; a wrong key is named with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cotdistill.errors import CotdistillError, RecipeError
from cotdistill.recipe import load_recipe, parse_recipe, refuse_missing_students, resolved_yaml

SMALL = {"name": "small", "task": "word_problems", "methods": ["answer_only", "fine_tune_cot"]}


def test_bare_names_are_a_recipe() -> None:
    recipe = parse_recipe(SMALL)
    assert recipe.teacher.name == "lab"
    assert [entry.label for entry in recipe.methods] == ["answer_only", "fine_tune_cot"]
    names = [filter.name for filter in recipe.methods[0].filters]
    assert names == ["answer_match", "truncated", "duplicates"]
    assert recipe.folder == Path("runs/small")


def test_settings_label_entries_of_one_name() -> None:
    methods = [
        "fine_tune_cot",
        {"name": "fine_tune_cot", "samples": 8},
        {"name": "fine_tune_cot", "samples": 4, "label": "D4"},
    ]
    recipe = parse_recipe({**SMALL, "methods": methods})
    assert [entry.label for entry in recipe.methods] == [
        "fine_tune_cot",
        "fine_tune_cot samples=8",
        "D4",
    ]


def test_a_method_has_its_own_filters_and_training() -> None:
    methods = [{"name": "fine_tune_cot", "filters": [], "train": {"epochs": 7}}, "answer_only"]
    recipe = parse_recipe({**SMALL, "methods": methods, "train": {"epochs": 2, "batch_size": 4}})
    assert recipe.methods[0].filters == ()
    assert (recipe.methods[0].train.epochs, recipe.methods[0].train.batch_size) == (7, 4)
    assert recipe.methods[1].train.epochs == 2


def test_resolved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    recipe = parse_recipe(
        {**SMALL, "methods": [{"name": "fine_tune_cot", "samples": 8}], "seeds": [1, 2]}
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(resolved_yaml(recipe))
    again = load_recipe(path)
    assert resolved_yaml(again) == resolved_yaml(recipe)
    assert again.methods[0].plugin == recipe.methods[0].plugin
    assert again.methods[0].train == recipe.methods[0].train


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methodes": []}, "unknown key 'methodes'; did you mean 'methods'?"),
        ({"methods": []}, "`methods` must be a list"),
        ({"methods": ["answer_onli"]}, "methods: no 'answer_onli'; did you mean 'answer_only'?"),
        ({"methods": ["answer_only", "answer_only"]}, "two entries are called 'answer_only'"),
        ({"tasks": ["coin_flip"]}, "give `task` or `tasks`, not both"),
        ({"train": {"epoch": 3}}, "train: unknown setting 'epoch'; did you mean 'epochs'?"),
        ({"train": 3}, "`train` must be a mapping"),
        ({"limit": {"train": 0}}, "limit.train"),
        ({"limit": {"tran": 5}}, "unknown setting 'limit.tran'; did you mean 'train'?"),
        ({"studnet": "lab", "methods": None}, "unknown key 'studnet'; did you mean 'student'?"),
        (
            {"limit": {"validation": 0}},
            "methods answer_only: `train.selection: accuracy` needs validation questions",
        ),
        ({"limit": {"validation": 0}, "train": {"selection": "loss"}}, "selection: loss` needs"),
        ({"executor": "locall"}, "executors: no 'locall'; did you mean 'local'?"),
        ({"seeds": "many"}, "seeds"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": [0, 1, 0]}, "seeds: 0 is there more than once; give each once"),
        ({"seeds": [-1]}, "seeds.0: Input should be greater than or equal to 0"),
        ({"seeds": [2**32]}, "seeds.0: Input should be less than or equal to 4294967295"),
        ({"evaluate_on": []}, "evaluate_on: "),
        ({"evaluate_on": ["test", "test"]}, "evaluate_on: 'test' is there more than once"),
        (
            {"methods": [{"name": "zero_shot", "role": "teachr"}]},
            "methods zero_shot role=teachr: no role 'teachr' to prompt; this run has teacher, base",
        ),
        ({"methods": [{"name": "few_shot_cot", "role": "guide"}]}, "no role 'guide' to prompt"),
        ({"student": 5}, "students: 5 is neither a model nor a mapping of settings"),
        ({"train": {1: 2}}, "train: setting names must be text"),
        (
            {"strategy": {"name": "greedy", "label": 5}},
            "strategies greedy: label: 5 is not text; put it in quotes",
        ),
        (
            {"student": {"label": 5}},
            "students transformers: label: 5 is not text; put it in quotes",
        ),
        (
            {"student": {"modle": "x"}},
            "students transformers: unknown setting 'modle'; did you mean 'model'?",
        ),
    ],
)
def test_wrong_recipes_are_explained(change: dict[str, object], message: str) -> None:
    with pytest.raises(CotdistillError) as error:
        parse_recipe({**SMALL, **change})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_validation_is_needed_where_nothing_selects_by_it() -> None:
    last = {"limit": {"validation": 0}, "train": {"selection": "last"}}
    assert parse_recipe({**SMALL, **last}).limit.of("validation") == 0
    prompted = {"methods": [{"name": "zero_shot", "role": "teacher"}]}
    assert parse_recipe({**SMALL, **prompted, "limit": {"validation": 0}}).methods


def test_a_key_without_a_value_has_its_default() -> None:
    empty = dict.fromkeys(("guide", "teacher", "train", "filters", "limit", "exemplars"))
    assert parse_recipe({**SMALL, **empty}) == parse_recipe(SMALL)


def test_a_student_does_not_share_the_folder_of_a_stage() -> None:
    with pytest.raises(
        RecipeError, match="students: 'Curate' would share the folder of the stage 'curate'"
    ):
        parse_recipe({**SMALL, "student": {"model": "lab", "label": "Curate"}})


def test_every_role_of_the_run_can_be_prompted() -> None:
    methods = [{"name": "zero_shot", "role": role} for role in ("teacher", "base", "guide")]
    assert len(parse_recipe({**SMALL, "methods": methods, "guide": "lab"}).methods) == 3


@pytest.mark.parametrize(
    "missing", ["/no/such/folder", "./no-such-folder", "../no-such-folder", "~/no-such-folder"]
)
def test_a_missing_local_student_is_refused(tmp_path: Path, missing: str) -> None:
    def check(student: object) -> None:
        refuse_missing_students(Path("mine.yaml"), parse_recipe({**SMALL, "student": student}))

    with pytest.raises(
        RecipeError, match=rf"mine\.yaml: student .*: model: {missing} does not exist; correct"
    ):
        check(missing)
    with pytest.raises(RecipeError, match=f"tokenizer: {missing} does not exist"):
        check({"config": {"model_type": "t5"}, "tokenizer": missing})
    check("google/flan-t5-small")
    check(str(tmp_path))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("tasks", "word_problems"),
        ("methods", "answer_only"),
        ("students", None),
        ("strategies", "greedy"),
    ],
)
def test_labels_that_share_a_folder_are_refused(place: str, name: str | None) -> None:
    def labelled(*labels: str) -> dict[str, object]:
        entries = [
            {"label": label, **({"name": name} if name else {"model": "lab"})} for label in labels
        ]
        return {key: value for key, value in SMALL.items() if (key, place) != ("task", "tasks")} | {
            place: entries
        }

    with pytest.raises(
        RecipeError,
        match=f"{place}: 's 1' and 's=1' would share the folder 's-1'; change a `label`",
    ):
        parse_recipe(labelled("s 1", "s=1"))
    with pytest.raises(RecipeError, match="'D8' and 'd8' would share"):
        parse_recipe(labelled("D8", "d8"))
    with pytest.raises(RecipeError, match=rf"{place}: label '\?\?\?' has no letter or digit"):
        parse_recipe(labelled("???"))
    parse_recipe(labelled("学生", "老师"))


def test_overrides(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in SMALL.items() if key != "name"}))
    recipe = load_recipe(path, ["train.epochs=9", "limit.train=5", "output=elsewhere"])
    assert recipe.folder == Path("elsewhere/mine")
    assert recipe.methods[0].train.epochs == 9
    assert recipe.limit.train == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: [unclosed", "recipe.yaml:1: not valid YAML"),
        ("name: a\ntask: \xff\n", "recipe.yaml:2: not UTF-8 text; save the file as UTF-8"),
        ("name: a\ntask: b\x01\n", r"recipe.yaml:2: control character '\x01'; take it out"),
        (
            "task: 2001-99-99\n",
            "recipe.yaml: not valid YAML: month must be in 1..12; put quotes around",
        ),
        ("[" * 3000, "recipe.yaml: not valid YAML: nested too deeply"),
        ("- a\n- b\n", "a recipe is a mapping"),
        ("task: word_problems\n", "`methods` must be a list"),
        (
            "task: word_problems\nlimit: {test: 3}\nmethods: [answer_only]\nlimit: {test: 4}\n",
            "recipe.yaml:4: not valid YAML: the key 'limit' is given twice; give it once",
        ),
        ("task: {name: gsm8k, name: aqua}\n", "recipe.yaml:1: not valid YAML: the key 'name'"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student=5", "students: 5 is neither a model nor a mapping"),
        ("train.epochs=[1", r"--set train.epochs=\[1: not valid YAML: expected ',' or '\]'"),
        ("name=\x01", "control character"),
    ],
)
def test_a_wrong_override_is_one_line(tmp_path: Path, override: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    with pytest.raises(RecipeError, match=message) as error:
        load_recipe(path, [override])
    assert "\n" not in str(error.value)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="`cotdistill init` writes a recipe"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["", "..", "../elsewhere", "/tmp/elsewhere", "a\\b"])
def test_a_run_stays_inside_its_output(name: str) -> None:
    with pytest.raises(RecipeError, match="names no folder inside `output`"):
        parse_recipe(
            {
                "name": name,
                "task": "word_problems",
                "teacher": "lab",
                "student": "lab",
                "methods": ["answer_only"],
            }
        )
