"""What is run on the GPU, in order of value: a recipe of recipes/real, some of its tasks and seeds,
and overrides.

Two items of one recipe write into one run folder: the second goes on where the first ended.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PLAN", "Item"]

_LEVELS = "../shared/data/teachers/eit-nlp"
_GSM8K = (
    "strategies=[calculator]",
    "methods=[{name: answer_only, label: answer-only},"
    " {name: tslm, shots: 0, samples: 4, label: CoT D=4}]",
)
_ONE, _MORE = (0,), (1, 2)


def _train(epochs: int) -> str:
    # Large batches in few steps: the card is idle between small ones. Twice this learning rate and
    # more ended in a loss of nan.
    settings = f"epochs: {epochs}, batch_size: 64, learning_rate: 2.0e-4, schedule: linear"
    return f"train={{{settings}, selection: last}}"


@dataclass(frozen=True)
class Item:
    """A recipe with `--set` overrides; `tasks` are labels, all where there are none."""

    recipe: str
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = _ONE
    overrides: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of the recipe's file."""
        return f"{self.recipe}.yaml"


def _level(task: str, stem: str, level: int) -> Item:
    name = f"name=real-granularity-{task.replace('_', '-')}-{level}"
    files = f"teacher.files={_LEVELS}/{stem}_llama_level{level}_ranked.json"
    return Item(f"granularity_{task}", overrides=(name, files, _train(5)))


def _six(seeds: tuple[int, ...]) -> tuple[Item, ...]:
    """Return the tasks that Ho et al. have figures of a student of this size for."""
    return (
        # The settings of `make real` and of the runs on a CPU.
        Item(
            "coin_flip",
            seeds=seeds,
            overrides=("train={epochs: 2, batch_size: 8, learning_rate: 2.0e-4, selection: last}",),
        ),
        Item("last_letters", seeds=seeds),
        *(
            Item("fine_tune_cot", (task,), seeds, (_train(4),))
            for task in ("shuffled_objects", "date")
        ),
        Item("multiarith", seeds=seeds, overrides=(_train(6),)),
        Item("fine_tune_cot", ("svamp",), seeds, (_train(4),)),
    )


PLAN = (
    *_six(_ONE),
    Item("gsm8k", overrides=("name=real-gsm8k-calculator", *_GSM8K, _train(2))),
    *_six(_MORE),
    Item("socratic_svamp", overrides=(_train(5),)),
    Item("svamp_gpt4", overrides=(_train(5),)),
    Item("sci_cot", overrides=("limit={ood: 1000}", _train(3))),
    Item("sci_cot_bound", overrides=(_train(3),)),
    Item("strategy_qa", overrides=(_train(5),)),
    *(_level("svamp", "SVAMP", level) for level in (1, 2, 3, 4)),
    *(_level("strategy_qa", "stqa", level) for level in (1, 3, 6)),
    *(_level("openbookqa", "obqa", level) for level in (1, 3, 6)),
    Item("adaptive", overrides=(_train(5),)),
    Item("socratic_asdiv", overrides=(_train(5),)),
    Item("asdiv_gpt4", overrides=(_train(5),)),
    Item("socratic_gsm8k", overrides=(_train(5),)),
    Item("first_step", overrides=(_train(2),)),
    Item("gsm8k", overrides=(_train(2),)),
    *(
        Item("gsm8k", overrides=(f"limit.train={count}", f"name=real-gsm8k-{count}", _train(2)))
        for count in (299, 1495)
    ),
    Item("fine_tune_cot", ("last_letters",), overrides=(_train(4),)),
    Item("addsub", seeds=(0, 1, 2), overrides=(_train(10),)),
)
