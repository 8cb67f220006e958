from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.errors import PluginError
from cotdistill.filters.length import Length
from cotdistill.plugins import build
from cotdistill.records import Question, Rationale


@pytest.mark.parametrize(
    ("settings", "text", "reason"),
    [
        ({}, "It is 11.", None),
        ({}, "  ", "too short"),
        ({"minimum": 4}, "It is 11.", "too short"),
        ({"maximum": 2}, "It is 11.", "too long"),
    ],
)
def test_reasons(settings: dict[str, Any], text: str, reason: str | None) -> None:
    candidate = (Question("q", "How many?", "11"), Rationale("q", text, "11"))
    assert list(Length(**settings).apply([candidate], Number())) == [(*candidate, reason)]


def test_answer_only_tuning_passes() -> None:
    candidate = (Question("q", "How many?", "11"), Rationale("q", "", "11", source="none"))
    assert list(Length().apply([candidate], Number())) == [(*candidate, None)]


def test_limits_must_leave_room() -> None:
    with pytest.raises(PluginError, match=r"maximum \(3\) is below minimum \(5\)"):
        build("filters", {"name": "length", "minimum": 5, "maximum": 3}, Length)
