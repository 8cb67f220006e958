"""Jobs in this process, one after the other: `executor: local`, the default."""

from collections.abc import Iterable

from cotdistill.contracts import Executor, Job


class Local(Executor):
    """In this process, in order."""

    def run(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            job()
