"""Jobs in this process, one after the other: `executor: local`, the default."""

from __future__ import annotations

from collections.abc import Iterable

from cotdistill.contracts import Executor, Job

__all__ = ["Local"]


class Local(Executor):
    """In this process, in order."""

    def run(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            job()
