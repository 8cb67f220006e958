from pathlib import Path
from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.errors import DataError, PluginError
from cotdistill.filters.ids import Ids
from cotdistill.plugins import build
from cotdistill.records import Question, Rationale

CANDIDATES = [
    (Question(name, "How many?", "11"), Rationale(name, "It is 11.", "11")) for name in ("a", "b")
]


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({"keep": ["a"]}, [None, "not in the list"]),
        ({"drop": ["a"]}, ["in the drop list", None]),
        ({"keep": ["a", "b"], "drop": ["b"]}, [None, "in the drop list"]),
        ({"keep": []}, ["not in the list", "not in the list"]),
    ],
)
def test_reasons(settings: dict[str, Any], reasons: list[str | None]) -> None:
    assert [reason for *_, reason in Ids(**settings).apply(CANDIDATES, Number())] == reasons


def test_lists_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("b\n\n")
    kept = Ids(keep_file=tmp_path / "ids.txt").apply(CANDIDATES, Number())
    assert [reason for *_, reason in kept] == ["not in the list", None]
    with pytest.raises(DataError, match=r"none\.txt"):
        list(Ids(drop_file=tmp_path / "none.txt").apply(CANDIDATES, Number()))


def test_a_filter_without_a_list_is_refused() -> None:
    with pytest.raises(PluginError, match="give a list"):
        build("filters", "ids", Ids)
