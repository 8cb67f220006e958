"""The whole run on one page: six stages over the grid of a recipe. Read this file first.

    generate → curate → train → infer → evaluate → report

Each stage reads what the stage before it wrote into the run folder, writes its own, and yields
jobs: one for each piece of work, which does nothing where the folder already holds its result, made
from the very same inputs. So a second call, or a call after a kill, does only what is missing.
What can be checked without asking or training anything is checked first.
Where jobs run is the executor's business (`executor` in the recipe).
"""

from collections.abc import Callable, Iterable, Sequence

from cotdistill.contracts import Job
from cotdistill.recipe import Recipe, resolved_yaml
from cotdistill.runs.environment import environment
from cotdistill.runs.estimate import Estimator
from cotdistill.runs.preflight import cells_to_ask, preflight
from cotdistill.runs.run import Run
from cotdistill.runs.shards import Shard
from cotdistill.runs.store import locked
from cotdistill.stages import curate, evaluate, generate, infer, report, train
from cotdistill.stages.merge import salvage
from cotdistill.util.concurrency import run_async
from cotdistill.util.files import write_json, write_text
from cotdistill.util.progress import Progress

STAGES: dict[str, Callable[[Run], Iterable[Job]]] = {
    "generate": generate.jobs,
    "curate": curate.jobs,
    "train": train.jobs,
    "infer": infer.jobs,
    "evaluate": evaluate.jobs,
    "report": report.jobs,
}


def run_recipe(
    recipe: Recipe,
    progress: Progress | None = None,
    stages: Sequence[str] | None = None,
    shard: Shard | None = None,
) -> Run:
    """Run a recipe's stages (all six by default) in its folder; what is there is not done again.

    With a shard, generate and infer see its questions only, and write to the shard's own folder.

    Raises:
        CotdistillError: see `cotdistill.errors`; what was finished or paid for before it is kept.
    """
    run = Run(recipe, progress, shard)
    with locked(run.work):
        write_text(run.work / "recipe.yaml", resolved_yaml(recipe))
        write_json(run.work / "environment.json", environment(recipe.seeds))
        if "infer" in (stages or STAGES) and (chosen := run.keep_engine()):
            run.progress.log(chosen)
        preflight(run, stages or tuple(STAGES))
        salvage(run)
        if shard is None and cells_to_ask(run, stages or tuple(STAGES)):
            run.progress.log(
                run_async(Estimator(run, measure=False, looked_at=200).estimate()).line()
            )
        try:
            for stage in stages or STAGES:
                recipe.executor.plugin.run(STAGES[stage](run))
        finally:
            recipe.executor.plugin.close()
    return run
