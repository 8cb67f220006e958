"""What is run on the GPU, in order of value: a recipe of recipes/real with overrides, and
processes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PLAN", "Item"]

_LEVELS = "../shared/data/teachers/eit-nlp"


@dataclass(frozen=True)
class Item:
    """A recipe with `--set` overrides, and in how many processes it is run."""

    name: str
    workers: int
    recipe: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of the recipe's file."""
        return f"{self.recipe or self.name}.yaml"


def _level(task: str, stem: str, level: int) -> Item:
    recipe, name = f"granularity_{task}", f"real-granularity-{task.replace('_', '-')}-{level}"
    files = f"teacher.files={_LEVELS}/{stem}_llama_level{level}_ranked.json"
    return Item(f"{recipe}_{level}", 2, recipe, (f"name={name}", files))


PLAN = (
    Item("fine_tune_cot", 6),
    Item("gsm8k", 3),
    Item("multiarith", 2),
    Item("coin_flip", 1),
    Item("socratic_svamp", 2),
    Item("svamp_gpt4", 1),
    Item("sci_cot", 3, overrides=("limit={ood: 1000}",)),
    Item("strategy_qa", 3),
    *(_level("svamp", "SVAMP", level) for level in (1, 2, 3, 4)),
    *(_level("strategy_qa", "stqa", level) for level in (1, 3, 6)),
    *(_level("openbookqa", "obqa", level) for level in (1, 3, 6)),
    Item("first_step", 2),
    Item("adaptive", 3),
    Item("addsub", 2),
    Item("socratic_gsm8k", 2),
)
