import pytest

from cotdistill.answers.number import Number
from cotdistill.filters.equations import Equations
from cotdistill.records import Question, Rationale
from tests.blow_up import no_blow_up
from tests.text.test_arithmetic import HOSTILE


@pytest.mark.parametrize(
    ("require", "text", "reason"),
    [
        (False, "3 + 8 = 11. 11 - 1 = 10.", None),
        (False, "3 + 8 = 12. 12 - 1 = 11.", "wrong equation"),
        (False, "<<3*4=12>>12", None),
        (False, "<<3*4=13>>12", "wrong equation"),
        (False, "She has eleven.", None),
        (True, "She has eleven.", "no equation"),
        (False, "x^2 = 9, so x = 3", None),
        (False, "7 / 2 = 3.5", None),
        (False, "7 / 2 = 3", "wrong equation"),
    ],
)
def test_reasons(require: bool, text: str, reason: str | None) -> None:
    candidate = (Question("q", "How many?", "11"), Rationale("q", text, "11"))
    assert list(Equations(require=require).apply([candidate], Number())) == [(*candidate, reason)]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_costs_no_time(piece: str) -> None:
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    candidate = (Question("q", "How many?", "11"), Rationale("q", text, "11"))
    with no_blow_up():
        ((*_, reason),) = Equations().apply([candidate], Number())
    assert reason in (None, "wrong equation")
