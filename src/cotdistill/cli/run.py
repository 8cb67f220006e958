"""`cotdistill run` and its six stages one by one, `cotdistill demo`, and `cotdistill list`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Override a setting, e.g. --set train.epochs=3.", show_default=False
    ),
]

_Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Note what becomes of every request in the run's log.jsonl."),
]

_STAGES = {
    "generate": "Ask the teacher for rationales of the training questions.",
    "curate": "Filter the rationales; every dropped one has a reason.",
    "train": "Train the students on the rationales kept.",
    "infer": "Let every model answer the test questions.",
    "evaluate": "Compare answers with gold: accuracies, intervals, paired tests.",
    "report": "Write report.html and report.md and print the table.",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command()
    def run(recipe: RecipePath, set: Overrides = None, verbose: _Verbose = False) -> None:
        """Do the whole job, generate to report; called again, only what is missing."""
        _run(recipe, set or [], None, verbose=verbose)

    for name, help in _STAGES.items():
        add = _add_shared_stage if name in ("generate", "infer") else _add_stage
        add(app, name, help)

    @app.command()
    def demo(
        output: Annotated[Path, typer.Option(help="Folder for the run folder.")] = Path("runs"),
        set: Overrides = None,
    ) -> None:
        """Distil the bundled teacher into small students: no key, hub or GPU needed."""
        from cotdistill import lab

        _run(Path(lab.__file__).with_name("demo.yaml"), [f"output={output}", *(set or [])], None)

    @app.command("list")
    def list_plugins(
        kind: Annotated[
            str | None,
            typer.Argument(help="tasks, teachers, methods, filters, …", show_default=False),
        ] = None,
    ) -> None:
        """List the plug-ins of one kind, or of all."""
        from cotdistill import plugins
        from cotdistill.errors import PluginError

        if kind is not None and kind not in plugins.KINDS:
            raise PluginError(
                f"no kind of plug-in is called {kind!r}; there are {', '.join(plugins.KINDS)}"
            )
        for one in [kind] if kind else plugins.KINDS:
            names = plugins.names(one)
            width = max((len(name) for name in names), default=0)
            typer.echo(f"{one}:")
            for name in names:
                typer.echo(f"  {name:<{width}}  {plugins.summary(one, name)}")


def _add_stage(app: typer.Typer, name: str, help: str) -> None:
    @app.command(name, help=f"{help} One stage of `run`.")
    def stage(recipe: RecipePath, set: Overrides = None, verbose: _Verbose = False) -> None:
        _run(recipe, set or [], name, verbose=verbose)


def _add_shared_stage(app: typer.Typer, name: str, help: str) -> None:
    @app.command(name, help=f"{help} One stage of `run`.")
    def stage(
        recipe: RecipePath,
        set: Overrides = None,
        verbose: _Verbose = False,
        shard: Annotated[
            str, typer.Option(help="Only this part of the questions, e.g. 3/64; see `merge`.")
        ] = "",
    ) -> None:
        _run(recipe, set or [], name, verbose=verbose, shard=shard)


def _run(
    path: Path, overrides: list[str], stage: str | None, *, verbose: bool = False, shard: str = ""
) -> None:
    from rich.console import Console

    from cotdistill.recipe import load_recipe, refuse_missing_students
    from cotdistill.util.progress import ConsoleProgress

    recipe = load_recipe(path, overrides)
    if stage is None:  # a single stage may run on a machine without the student
        refuse_missing_students(path, recipe)
    from cotdistill.pipeline import run_recipe

    console = Console() if sys.stdout.isatty() else Console(width=160)
    from cotdistill.runs.shards import Shard

    part = Shard.parse(shard) if shard else None
    with _requests_noted(recipe.folder) if verbose else nullcontext():
        run_recipe(recipe, ConsoleProgress(console), [stage] if stage else None, part)


@contextmanager
def _requests_noted(folder: Path) -> Iterator[None]:
    """Append what becomes of every request to the run's `log.jsonl`, a line of JSON each."""
    import logging
    import os

    folder.mkdir(parents=True, exist_ok=True)
    # A link planted in the folder is not followed.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    with os.fdopen(os.open(folder / "log.jsonl", flags, 0o644), "a", encoding="utf-8") as file:
        log, handler = logging.getLogger("cotdistill.requests"), logging.StreamHandler(file)
        log.setLevel(logging.INFO)
        log.propagate = False
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(logging.NOTSET)
