"""`cotdistill ask`: a run's distilled system answers one question."""

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
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Let a run's distilled system answer one question, with its reasoning."""
        with _loaded(run, task, method, student, strategy, seed) as system:
            answer = system.answer(_text(question))
            _print(answer, system, as_json=json)


def _loaded(
    folder: Path,
    task: str | None,
    method: str | None,
    student: str | None,
    strategy: str | None,
    seed: int | None,
) -> "System":
    from cotdistill.serving.system import load_system
    from cotdistill.util.terminal import printable

    wanted: dict[str, Any] = {"task": task, "method": method, "student": student}
    system = load_system(folder, **wanted, strategy=strategy, seed=seed)
    typer.echo(printable(f"{folder}: {system.chosen.label}"), err=True)
    return system


def _text(question: str) -> str:
    from cotdistill.errors import UserError

    text = typer.get_text_stream("stdin").read() if question == "-" else question
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
