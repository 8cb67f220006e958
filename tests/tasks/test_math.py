import json
from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.tasks.math import Math


def test_answers_come_from_the_field_or_the_last_box(tmp_path: Path) -> None:
    (tmp_path / "math").mkdir()
    rows = [
        {
            "problem": "1?",
            "solution": "So $\\boxed{2}$, hence $\\boxed{\\frac{1}{2}}$.",
            "level": 3,
        },
        {"problem": "2?", "solution": "Easy.", "answer": "x^2", "subject": "Algebra"},
    ]
    (tmp_path / "math" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = Math(data_dir=str(tmp_path)).questions("test")
    assert (first.answer, first.meta) == ("\\frac{1}{2}", {"level": 3})
    assert (second.answer, second.rationale) == ("x^2", "Easy.")


def test_neither_answer_nor_box_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "math").mkdir()
    (tmp_path / "math" / "test.jsonl").write_text('{"problem": "1?", "solution": "Easy."}')
    with pytest.raises(DataError, match=r"test.jsonl:1: answer: neither an answer nor a box"):
        Math(data_dir=str(tmp_path)).questions("test")
