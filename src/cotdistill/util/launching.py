"""The start of a training's processes: on this machine, or where an executor has room for them."""

from collections.abc import Callable, Generator
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol


class Launcher(Protocol):
    """Starts the processes of a training as one group of torch.distributed."""

    def accelerators(self) -> int:
        """Return how many accelerators a training may have: the processes of `auto`."""
        ...

    def start(
        self,
        main: Callable[[Path, Callable[[str], None]], None],
        description: Path,
        count: int,
        errors: Path,
    ) -> Generator[str]:
        """Call `main(description, tell)` in `count` processes, and yield the lines that they tell.

        Closing the generator ends the processes. `main` is named by its module and can be called
        again in new processes. What else they say of a failure is written to `errors`.

        Raises:
            StoreError: a process died.
        """
        ...


LAUNCHER: ContextVar[Launcher | None] = ContextVar("launcher", default=None)
"""Set by an executor around a job that has several processes; None: they start on this machine."""
