from pathlib import Path

import pytest

from cotdistill import plugins
from cotdistill.errors import DataError
from cotdistill.evaluation.grid import ScoreRow
from cotdistill.evaluation.published import LABELS, Place, Published, beside, load_published


def row(accuracy: float, low: float, high: float, split: str = "test") -> ScoreRow:
    return ScoreRow(
        "multiarith",
        split,
        "s",
        "m",
        "greedy",
        (0,),
        180,
        accuracy,
        low,
        high,
        by_seed=(accuracy,),
        no_answer=0,
        errors=0,
        tokens=1,
    )


def test_every_figure_is_labelled_and_names_a_known_task() -> None:
    figures = load_published()
    assert len(figures) > 600
    tasks = set(plugins.names("tasks"))
    assert all(
        figure.task in tasks and 0 <= figure.value <= 100 and figure.label in LABELS
        for figure in figures
    )


def test_known_figures() -> None:
    figures = load_published()

    def value(**wanted: str) -> list[float]:
        return [
            f.value
            for f in figures
            if all(f.to_json()[name] == one for name, one in wanted.items())
        ]

    assert value(
        task="multiarith", student="flan-t5-small", method="answer_only", table="results notebook"
    ) == [16.67]
    assert value(task="tracking_shuffled_objects", student="t5-small", method="answer_only") == [
        94.22
    ]
    assert value(task="gsm8k", method="tslm", metric="accuracy", label="verified") == [21.99, 18.42]
    oracle = [f for f in figures if f.student == "gpt2" and f.method == "fine_tune_cot"]
    assert oracle and all("best of 20 epochs on the test set" in f.note for f in oracle)


def test_ours_stands_beside_only_where_everything_matches() -> None:
    figures = [f for f in load_published() if f.table == "results notebook"]
    place = Place("multiarith", "default", "google/flan-t5-small", "fine_tune_cot", "1")
    (pair,) = beside([(row(0.1, 0.06, 0.15), place)], figures)
    assert pair.published.value == 8.33 and pair.inside
    assert pair.difference == pytest.approx(10 - 8.33)
    template = Place("multiarith", "template", "google/flan-t5-small", "fine_tune_cot", "1")
    assert (
        beside([(row(0.1, 0.06, 0.15), template), (row(0.1, 0.06, 0.15, "ood"), place)], figures)
        == []
    )
    other = Place("multiarith", "default", "google/flan-t5-base", "fine_tune_cot", "8")
    assert beside([(row(0.1, 0.06, 0.15), other)], figures) == []


def test_a_faulty_table_names_its_line(tmp_path: Path) -> None:
    header = ",".join(Published.__dataclass_fields__)
    (tmp_path / "x.csv").write_text(
        f"{header}\ns,t,gsm8k,official,gpt2,tslm,,accuracy,many,verified,\n"
    )
    with pytest.raises(DataError, match=r"x.csv:2: value 'many' is no number"):
        load_published(tmp_path)
    (tmp_path / "x.csv").write_text(f"{header}\ns,t,gsm8k,official,gpt2,tslm,,accuracy,1,sure,\n")
    with pytest.raises(DataError, match=r"x.csv:2: label 'sure'; one of verified"):
        load_published(tmp_path)
    (tmp_path / "x.csv").write_text("source,value\ns,1\n")
    with pytest.raises(DataError, match=r"x.csv:1: no column 'table'"):
        load_published(tmp_path)
    assert load_published(tmp_path / "none") == []
