"""`cotdistill ask`, `serve` and `escalate`: a run's distilled system at work."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cotdistill.records import Answer
    from cotdistill.serving.system import System

RunFolder = Annotated[Path, typer.Argument(help="The run folder, runs/NAME.", show_default=False)]
Task = Annotated[str | None, typer.Option(help="The task's label, where the run has several.")]
Method = Annotated[
    str | None, typer.Option(help="The method's label; else the best on validation.")
]
Student = Annotated[str | None, typer.Option(help="The student's label.")]
Strategy = Annotated[str | None, typer.Option(help="The strategy's label.")]
Seed = Annotated[int | None, typer.Option(help="The seed it was trained with.")]
Escalate = Annotated[
    str | None, typer.Option(help="`teacher`: ask it where the student is unsure.")
]
Below = Annotated[
    float | None, typer.Option(min=0, max=1, help="Probability of being right that is unsure.")
]
Accuracy = Annotated[
    float | None, typer.Option(min=0, max=1, help="Or: the accuracy wanted, as on validation.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command()
    def ask(
        run: RunFolder,
        question: Annotated[str, typer.Argument(help="The question; - reads it from stdin.")],
        task: Task = None,
        method: Method = None,
        student: Student = None,
        strategy: Strategy = None,
        seed: Seed = None,
        escalate: Escalate = None,
        below: Below = None,
        accuracy: Accuracy = None,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Let a run's distilled system answer one question, with its reasoning."""
        text, wanted = _text(question), _labels(task, method, student, strategy, seed)
        with _loaded(run, wanted, _threshold(escalate, below, accuracy)) as system:
            _print(system.answer(text), system, as_json=json)

    @app.command()
    def serve(
        run: RunFolder,
        task: Task = None,
        method: Method = None,
        student: Student = None,
        strategy: Strategy = None,
        seed: Seed = None,
        escalate: Escalate = None,
        below: Below = None,
        accuracy: Accuracy = None,
        host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
        name: Annotated[str | None, typer.Option(help="Name of the model; else the run's.")] = None,
        api_key_env: Annotated[
            str | None, typer.Option(help="Environment variable with the key to ask for.")
        ] = None,
        most_waiting: Annotated[
            int, typer.Option(min=1, help="Answers under way, above which 429 is sent.")
        ] = 1024,
    ) -> None:
        """Serve a run's distilled system behind an OpenAI-compatible API until Ctrl-C."""
        from cotdistill.serving.running import serve_until_stopped

        wanted = _labels(task, method, student, strategy, seed)
        threshold = _threshold(escalate, below, accuracy)
        key = _key(api_key_env, host)
        with _loaded(run, wanted, threshold) as system:
            serve_until_stopped(
                system,
                host=host,
                port=port,
                name=name or system.run.recipe.name,
                api_key=key,
                most_waiting=most_waiting,
            )

    @app.command()
    def escalate(
        run: RunFolder,
        task: Task = None,
        method: Method = None,
        student: Student = None,
        strategy: Strategy = None,
        seed: Seed = None,
        below: Below = None,
        accuracy: Accuracy = None,
    ) -> None:
        """Measure on validation what asking the teacher where the student is unsure would give.

        With --below or --accuracy the promise of that threshold is checked on test, once.
        """
        from cotdistill.runs.run import open_run
        from cotdistill.runs.store import locked
        from cotdistill.serving.choosing import choose
        from cotdistill.serving.measured import promise, table
        from cotdistill.serving.measuring import check, measure

        opened = open_run(run)
        chosen = choose(opened, **_labels(task, method, student, strategy, seed))
        with locked(opened.folder):
            found = measure(opened, chosen)
            _say(f"{run}: {chosen.label}")
            typer.echo(table(found, found.shown()), nl=False)
            if below is not None or accuracy is not None:
                point = found.operating(below=below, accuracy=accuracy)
                typer.echo(promise(check(opened, chosen, found, point), len(found.checks())))


def _labels(
    task: str | None,
    method: str | None,
    student: str | None,
    strategy: str | None,
    seed: int | None,
) -> dict[str, Any]:
    labels = {"task": task, "method": method, "student": student, "strategy": strategy}
    return {**labels, "seed": seed}


def _threshold(escalate: str | None, below: float | None, accuracy: float | None) -> dict[str, Any]:
    from cotdistill.errors import UserError

    given = [one for one in (below, accuracy) if one is not None]
    if escalate not in (None, "teacher"):
        raise UserError(f"--escalate {escalate}: there is `teacher`")
    if len(given) != (escalate is not None):
        raise UserError("give `--escalate teacher` with one of `--below P` and `--accuracy A`")
    return {"below": below, "accuracy": accuracy}


def _loaded(folder: Path, labels: dict[str, Any], threshold: dict[str, Any]) -> "System":
    from cotdistill.serving.system import load_system

    system = load_system(folder, **labels, **threshold)
    _say(f"{folder}: {system.chosen.label}")
    return system


def _say(line: str) -> None:
    from cotdistill.util.terminal import printable

    typer.echo(printable(line), err=True)


def _key(variable: str | None, host: str) -> str:
    import os

    from cotdistill.errors import UserError

    if variable is None:
        if host not in ("127.0.0.1", "::1", "localhost"):
            _say(f"warning: whoever reaches {host} can ask without a key; see --api-key-env")
        return ""
    if not (key := os.environ.get(variable, "").strip()):
        raise UserError(f"--api-key-env {variable}: not set or empty; export the key to ask for")
    return key


def _text(question: str) -> str:
    from cotdistill.errors import UserError

    try:
        text = sys.stdin.buffer.read().decode() if question == "-" else question
    except UnicodeDecodeError as error:
        raise UserError("ask: the standard input is not UTF-8 text") from error
    if not text.strip():
        raise UserError("ask: the question is empty; give it as text, or `-` and pipe it in")
    return text


def _print(answer: "Answer", system: "System", *, as_json: bool) -> None:
    import json

    from cotdistill.util.terminal import printable

    if as_json:
        shown = {
            "answer": answer.answer,
            "reasoning": answer.text,
            "votes": list(answer.votes),
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "system": system.chosen.to_json(),
        }
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    typer.echo(printable(answer.text))
    typer.echo(printable(f"\nanswer: {answer.answer}" if answer.answer else "\nno answer"))
