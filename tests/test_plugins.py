"""Plug-ins are found by file name or entry point; another package adds them from outside."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest

from cotdistill import plugins
from cotdistill.contracts import Filter, Method, Task, Teacher
from cotdistill.errors import PluginError

OTHER_PACKAGE = {
    "task": """
        from cotdistill.answers.number import Number
        from cotdistill.contracts import Task
        from cotdistill.records import Question

        class Doubling(Task):
            '''Doubles of small numbers.'''
            size: int = 3

            @property
            def answer_type(self):
                return Number()

            def questions(self, split):
                for value in range(self.size):
                    yield Question(f"doubling/{split}/{value}", f"Twice {value}?", str(2 * value))
    """,
    "teacher": """
        from cotdistill.contracts import Teacher

        class Silent(Teacher):
            '''Never answers.'''
    """,
    "method": """
        from cotdistill.contracts import Method

        class Guessing(Method):
            '''Learns nothing.'''
    """,
    "filter": """
        from cotdistill.contracts import Filter

        class Nothing(Filter):
            '''Drops all.'''
    """,
}


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "other_package"
    package.mkdir()
    (package / "__init__.py").touch()
    classes = {"task": "Doubling", "teacher": "Silent", "method": "Guessing", "filter": "Nothing"}
    points = []
    for kind, source in OTHER_PACKAGE.items():
        (package / f"{kind}.py").write_text(textwrap.dedent(source))
        points.append(
            f"[cotdistill.{kind}s]\nother_{kind} = other_package.{kind}:{classes[kind]}\n"
        )
    info = tmp_path / "other_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in [name for name in sys.modules if name.startswith("other_package")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("kind", "base"), [("task", Task), ("teacher", Teacher), ("method", Method), ("filter", Filter)]
)
def test_another_package_adds_a_plugin(other_package: Path, kind: str, base: type) -> None:
    assert f"other_{kind}" in plugins.names(f"{kind}s")
    assert plugins.summary(f"{kind}s", f"other_{kind}").endswith(".")
    assert isinstance(plugins.build(f"{kind}s", f"other_{kind}", base), base)


def test_settings_of_another_packages_plugin(other_package: Path) -> None:
    task = plugins.build("tasks", {"name": "other_task", "size": 2}, Task)
    assert [question.answer for question in task.questions("train")] == ["0", "2"]


def test_a_package_installed_meanwhile_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    os.utime(tmp_path, (0, 0))  # a file system's clock may tick too seldom for a test
    assert "late" not in plugins.names("tasks")
    info = tmp_path / "late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cotdistill.tasks]\nlate = late:Task\n")
    assert "late" in plugins.names("tasks")


def test_class_named_directly(other_package: Path) -> None:
    assert plugins.build("tasks", "other_package.task:Doubling", Task).answer_type.same("4.0", "4")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("fine_tune_cott", "methods: no 'fine_tune_cott'; did you mean 'fine_tune_cot'?"),
        ("zzz", "methods: no 'zzz'; there are answer_only"),
        (
            {"name": "fine_tune_cot", "sample": 8},
            "methods fine_tune_cot: unknown setting 'sample'; did you mean 'samples'?",
        ),
        ({"name": "fine_tune_cot", "samples": "many"}, "methods fine_tune_cot: samples"),
        ({"samples": 8}, "needs a `name`"),
        ("no_such_module:Class", "cannot load 'no_such_module:Class'"),
        ("cotdistill.records:Question", "cotdistill.records:Question is no Method"),
    ],
)
def test_wrong_entries_are_explained(entry: object, message: str) -> None:
    with pytest.raises(PluginError) as error:
        plugins.build("methods", entry, Method)  # type: ignore[arg-type]
    assert message in str(error.value)
