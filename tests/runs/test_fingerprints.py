"""What a plug-in is made of: settings that change results and the source of its prompts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cotdistill.contracts import Teacher, TrainSettings, identity
from cotdistill.plugins import KINDS, build, find, names
from cotdistill.runs import fingerprints
from cotdistill.runs.fingerprints import source

METHOD = '''
from cotdistill.methods.fine_tune_cot import FineTuneCot
from {package} import prompts

class Mine(FineTuneCot):
    """Asks kindly."""

    def prompt(self):
        return prompts.KINDLY  # the wording
'''


def test_what_an_endpoint_may_cost_or_take_is_no_part_of_it() -> None:
    settings = {"name": "openai", "model": "m", "base_url": "http://localhost:1/v1"}
    before = identity(build("teachers", settings, Teacher))
    changed = {"timeout_s": 1.0, "retries": 9, "max_concurrency": 3}
    changed |= {"input_price": 1.0, "output_price": 2.0}
    assert identity(build("teachers", {**settings, **changed}, Teacher)) == before
    assert identity(build("teachers", {**settings, "system": "Be brief."}, Teacher)) != before
    training = identity(TrainSettings())
    assert identity(TrainSettings(save_minutes=1, report_to=("wandb",))) == training
    spread = [{"processes": 2}, {"processes": "auto"}, {"processes": 2, "strategy": "fsdp"}]
    alone = identity(TrainSettings(selection="last"))
    assert [identity(TrainSettings(selection="last", **one)) for one in spread] == [alone] * 3
    assert identity(TrainSettings(epochs=1)) != training


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """The source of a method in a package of its own, read anew at each call."""
    package = tmp_path / "its_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "prompts.py").write_text('KINDLY = "Please: "\n')
    (package / "method.py").write_text(METHOD.format(package="its_package"))
    monkeypatch.syspath_prepend(str(tmp_path))

    def read() -> str:
        fingerprints._source.cache_clear()
        return source(find("methods", "its_package.method:Mine"))

    yield read
    for name in [name for name in sys.modules if name.startswith("its_package")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("file", "old", "new", "counts"),
    [
        ("method.py", "prompts.KINDLY", '"Now: "', True),
        ("prompts.py", "Please", "Kindly", True),
        ("method.py", "# the wording", "# how it asks", False),
        ("method.py", "Asks kindly.", "Asks in kind words.", False),
        ("method.py", "class Mine", "class Other:\n    x = __doc__\n\nclass Mine", True),
    ],
)
def test_an_edit_counts_where_it_can_change_a_prompt(
    hashed: Callable[[], str], tmp_path: Path, file: str, old: str, new: str, counts: bool
) -> None:
    before = hashed()
    assert before == hashed()
    path = tmp_path / "its_package" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert (hashed() != before) is counts


def test_the_shared_parts_of_prompts_count_and_the_infrastructure_does_not() -> None:
    found: set[str] = set()
    for kind in KINDS:
        for name in names(kind):
            plugin = find(kind, name)
            inside = kind in fingerprints._PROMPTING
            assert bool(source(plugin)) is inside, (kind, name)
            found.add(source(plugin))
    assert len(found) > 20
    assert fingerprints._counts("cotdistill.prompting.base", "x")
    assert not fingerprints._counts("cotdistill.model.client", "cotdistill.methods.tslm")
    assert not fingerprints._counts("torch.nn", "its_package.method")


def test_the_source_is_found_without_importing_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text(
        "from cotdistill.contracts import Method\n\n"
        "class Lazy(Method):\n"
        "    def examples(self, question, rationale):\n"
        "        from torch import nn\n        import late\n        return ()\n"
    )
    (tmp_path / "late.py").write_text("raise SystemExit('imported')\n")
    program = (
        "import sys; from lazy import Lazy; from cotdistill.runs.fingerprints import source;"
        "assert source(Lazy); assert not {'torch', 'late'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=60)


@pytest.mark.parametrize(("folder", "counts"), [("lib", True), ("site-packages", False)])
def test_a_package_counts_where_it_is_not_installed_wherever_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, counts: bool
) -> None:
    """As with those of the user or of a base Python, whose folders no path of `sysconfig` names."""
    (tmp_path / folder / "their_package").mkdir(parents=True)
    (tmp_path / folder / "their_package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / folder))
    assert fingerprints._counts("their_package.inside", "its_package.method") is counts
