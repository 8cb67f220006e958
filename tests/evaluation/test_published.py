from cotdistill import plugins
from cotdistill.evaluation.grid import ScoreRow
from cotdistill.evaluation.published import LABELS, Configuration, load_published, matching


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
    place = Configuration("multiarith", "default", "google/flan-t5-small", "fine_tune_cot", "1")
    mine = row(0.1, 0.06, 0.15)
    ((figure, ours),) = matching([(mine, place)], figures)
    assert figure.value == 8.33 and ours is mine
    template = Configuration("multiarith", "template", "google/flan-t5-small", "fine_tune_cot", "1")
    other = Configuration("multiarith", "default", "google/flan-t5-base", "fine_tune_cot", "8")
    ood = row(0.1, 0.06, 0.15, "ood")
    assert not list(matching([(mine, template), (ood, place), (mine, other)], figures))
