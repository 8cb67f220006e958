"""cotdistill from Python: run a recipe, and read what came out.

    import cotdistill

    result = cotdistill.run("recipe.yaml", seeds=[0, 1, 2])
    result.to_frame()[["method", "accuracy", "low", "high"]]

`Result("runs/recipe")` opens what was made before, here or by the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotdistill.pipeline import run_recipe
from cotdistill.recipe import Recipe, recipe_of
from cotdistill.records import Answer, Question
from cotdistill.runs.run import Run, open_run
from cotdistill.serving.system import System, load_system
from cotdistill.util.progress import ConsoleProgress, Progress, SilentProgress

if TYPE_CHECKING:
    from pandas import DataFrame


def run(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    *,
    stages: Sequence[str] | None = None,
    progress: bool | Progress = True,
    **overrides: Any,
) -> Result:
    """Run a recipe, all six stages by default, and return its results.

    What the run folder holds already is not done again: the same call goes on after a stop. In a
    mapping, or an override, a plug-in's class or object may stand for its entry.

    Args:
        recipe: a YAML file, or the same as a mapping (then `name` is "run" by default).
        stages: some of generate, curate, train, infer, evaluate and report.
        progress: whether to show bars and tables, or what is told of the progress.
        overrides: keys of the recipe, replaced: `seeds=[0]`, or `**{"train.epochs": 5}`.

    Raises:
        CotdistillError: see `cotdistill.errors`; what was finished or paid for before it is kept.
    """
    if isinstance(progress, bool):
        progress = _console() if progress else SilentProgress()
    return Result(run_recipe(recipe_of(recipe, overrides), progress, stages))


def _console() -> Progress:
    from rich.console import Console

    return ConsoleProgress(Console())


class Result:
    """The results in a run folder, as rows of plain values."""

    def __init__(self, run: str | Path | Run) -> None:
        """Open a run by its folder or its recipe file.

        Raises:
            RecipeError: there is no recipe, or it is not valid.
        """
        self._run = run if isinstance(run, Run) else open_run(run)
        self._systems: dict[tuple[tuple[str, str | int], ...], System] = {}

    @property
    def folder(self) -> Path:
        """The run folder: plain files, described in `cotdistill.runs.store`."""
        return self._run.folder

    @property
    def recipe(self) -> Recipe:
        """The recipe with every default."""
        return self._run.recipe

    @property
    def report(self) -> Path:
        """The report, an HTML page."""
        return self.folder / "report.html"

    @property
    def scores(self) -> list[dict[str, Any]]:
        """One row for each task, split, student, method and strategy, seeds combined.

        Raises:
            UserError: the run has not been evaluated.
        """
        return self._run.scores()

    def to_frame(self) -> DataFrame:
        """Return the scores as a pandas data frame."""
        import pandas

        return pandas.DataFrame(self.scores)

    def rationales(self) -> Iterator[dict[str, Any]]:
        """Yield the candidate rationales; `dropped_by` and `reason` are None for those kept.

        Raises:
            UserError: they are not there, or were made from another recipe.
        """
        return self._run.rationales()

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield every answer with its question, gold answer and, once evaluated, its verdict.

        Raises:
            UserError: they are not there, or were made from another recipe.
        """
        return self._run.answers()

    def ask(self, question: str | Question, **labels: Any) -> Answer:
        """Let the run's best system on validation answer a question; the first one loads it.

        Args:
            labels: `task`, `method`, `student`, `strategy` or `seed` of another system.

        Raises:
            UserError: no such system, not trained, or several and none known to be best.
        """
        chosen = tuple(sorted(labels.items()))
        if chosen not in self._systems:
            self._systems[chosen] = load_system(self.folder, **labels)
        return self._systems[chosen].answer(question)

    def __repr__(self) -> str:
        return f"Result({str(self.folder)!r})"
