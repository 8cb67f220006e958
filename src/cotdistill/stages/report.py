"""Report: five questions of a reader answered on one page, as Markdown, and in the terminal.

Reads `scores.json`, `contamination.json`, the rationales, the answers and the metadata of the
stages' artifacts; writes `report.html` and `report.md`. Every number of the three forms comes from
the same chapters (`cotdistill.reporting`).
"""

from collections.abc import Iterator

from cotdistill.reporting.browsing import page_data
from cotdistill.reporting.chapters import chapters
from cotdistill.reporting.rendering import markdown, page, terminal_table
from cotdistill.reporting.scoreboard import read_boards
from cotdistill.reporting.worth import read_data_sets
from cotdistill.runs.run import Run
from cotdistill.stages._job import StageJob
from cotdistill.util.files import write_text


def jobs(run: Run) -> Iterator[StageJob]:
    """Yield one job: the report of the whole grid."""
    yield StageJob(run, report)


def report(run: Run) -> None:
    """Write report.html and report.md of an evaluated run, and print its main tables.

    Raises:
        UserError: the scores are not those of this recipe.
    """
    boards = read_boards(run)
    data = list(read_data_sets(run))
    found = chapters(run, boards, data)
    write_text(run.folder / "report.md", markdown(run.recipe.name, found))
    html = page(run.recipe.name, found, page_data(run, boards, data))
    write_text(run.folder / "report.html", html)
    for section in (one for chapter in found for one in chapter.sections if one.prominent):
        run.progress.show(terminal_table(section))
    for sentence in found[0].sentences:
        run.progress.log(sentence)
    run.progress.log(f"report: {run.folder / 'report.html'}")
