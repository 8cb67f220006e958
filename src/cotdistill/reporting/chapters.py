"""The report's five questions in their order."""

from collections.abc import Sequence

from cotdistill.reporting import costs, failing, setup, winner, worth
from cotdistill.reporting.blocks import Chapter
from cotdistill.reporting.scoreboard import Board
from cotdistill.reporting.worth import DataSet
from cotdistill.runs.run import Run


def chapters(run: Run, boards: Sequence[Board], data: Sequence[DataSet]) -> list[Chapter]:
    """Return the chapters of an evaluated run."""
    return [
        winner.chapter(run, boards),
        setup.chapter(run, boards),
        costs.chapter(run, boards, data),
        worth.chapter(run, boards, data),
        failing.chapter(run, boards),
    ]
