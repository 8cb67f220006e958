"""The first question, what won: one sentence a task, all rows, any row against any other."""

from collections.abc import Iterator, Sequence

from cotdistill.evaluation.grid import MAJORITY, ScoreRow
from cotdistill.reporting.blocks import Browser, Chapter, Chart, Section
from cotdistill.reporting.charts import Interval, intervals
from cotdistill.reporting.scoreboard import Board, BoardRow
from cotdistill.reporting.sizes import row_parameters, teacher_parameters
from cotdistill.reporting.wording import interval, p_value, percent, points, tested
from cotdistill.runs.run import Run
from cotdistill.util.terminal import shortened


def chapter(run: Run, boards: Sequence[Board]) -> Chapter:
    """Return the chapter; its sentences are the summary of the whole report."""
    blocks: list[Section | Chart | Browser] = []
    for board in boards:
        title = f"{board.name}: accuracy in %"
        rows = [
            Interval(one.label, one.row.accuracy, one.row.low, one.row.high, one.kind)
            for one in board.rows
        ]
        blocks += [
            Chart(f"{board.name}: all rows", "Accuracies with 95 % intervals.", intervals(rows)),
            score_section(title, board.rows, run.baseline),
        ]
    blocks += [Browser("pairs"), _failures(boards), *map(_pair_section, boards)]
    return Chapter("won", "What won?", [_sentence(run, board) for board in boards], blocks)


def _sentence(run: Run, board: Board) -> str:
    """Return who won, by how much over the baseline, and how near to the teacher at which size."""
    if not board.students:
        return f"{board.name}: no student was evaluated."
    best = board.students[0]
    row = best.row
    accuracy = interval(row.accuracy, row.low, row.high)
    against = _against(row, run.baseline)
    clauses = [f"{board.name}: {best.label} is the best student with {accuracy} %{against}"]
    if board.teacher is not None:
        clauses.append(_reach(run, best, board.teacher))
    return "; ".join(clauses) + "."


def _against(row: ScoreRow, baseline: str) -> str:
    low, high = row.difference_low, row.difference_high
    if row.difference is None or row.p_corrected is None or low is None or high is None:
        return ": no method beats the baseline" if row.method == baseline else ""
    ends = f"[{points(low)}, {points(high)}]"
    shown = "" if row.p_corrected < 0.05 else ": no difference is shown"
    return (
        f", {points(row.difference)} points {ends} against {baseline} "
        f"({p_value(row.p_corrected)}){shown}"
    )


def _reach(run: Run, best: BoardRow, teacher: BoardRow) -> str:
    """Say how much of the teacher's accuracy the student has, and at which part of its size."""
    accuracy = teacher.row.accuracy
    has = f"the teacher has {percent(accuracy)} %"
    if accuracy == 0:
        return has
    reached = f"the student reaches {100 * best.row.accuracy / accuracy:.0f} % of that"
    own, whole = row_parameters(best), teacher_parameters(run.recipe.teacher)
    if own and whole and whole.count >= own:
        ratio = float(f"{whole.count / own:.2g}")
        reached += f" at 1/{ratio:,.0f} of its size" if ratio >= 2 else " at about its size"
    return f"{has}; {reached}"


def score_section(title: str, rows: Sequence[BoardRow], baseline: str) -> Section:
    """Return the table of one task and split."""
    guide = (
        "; after the plus those of a guide, and for how many questions it gave the answer away"
        if any(one.row.guide_tokens for one in rows)
        else ""
    )
    return Section(
        title,
        ("method", "accuracy", "n", f"vs. {baseline}", f"vs. {MAJORITY}", "no answer %", "tokens"),
        tuple((one.label, *_cells(one.row)) for one in rows),
        "Accuracies with 95 % intervals; n: questions × seeds. Differences in points on the same "
        "questions, paired tests, p corrected for all comparisons of the run (Holm). The majority "
        "answer is the most common one of the training split. Tokens: written per question"
        f"{guide}.",
        prominent=True,
    )


def _cells(row: ScoreRow) -> Iterator[str]:
    total = row.n * len(row.seeds)
    failed = f"; {row.failed} of {total} questions failed" if row.failed else ""
    yield f"{interval(row.accuracy, row.low, row.high)}{failed}"
    yield f"{row.n}×{len(row.seeds)}" if len(row.seeds) > 1 else str(row.n)
    yield tested(row.difference, row.p_corrected)
    yield tested(row.over_majority, row.p_over_majority)
    cut = f" ({row.truncated} truncated)" if row.truncated else ""
    yield f"{percent(row.no_answer)}{cut}" if row.no_answer else "–"
    guide = f" + {row.guide_tokens:.0f}" if row.guide_tokens else ""
    leaks = f" ({100 * row.leaks:.0f} % leak)" if row.leaks else ""
    yield f"{row.tokens:.0f}{guide}{leaks}"


def _failures(boards: Sequence[Board]) -> Section:
    lines = (
        (board.task.label, board.split, one.label, shortened(reason), str(count))
        for board in boards
        for one in board.rows
        for reason, count in one.row.failures.items()
    )
    header = ("task", "split", "method", "reason and first message", "questions")
    note = "They count as questions without a right answer."
    return Section("Failed questions", header, tuple(lines), note, prominent=True)


def _pair_section(board: Board) -> Section:
    labels = {one.place: one.label for one in board.rows}
    lines = (
        (labels[pair.first], labels[pair.second],
         f"{points(pair.difference)} [{points(pair.low)}, {points(pair.high)}]",
         p_value(pair.p_corrected),
         *(percent(share) for share in (pair.both, pair.first_only, pair.second_only,
                                        pair.neither)))
        for pair in board.pairs
    )  # fmt: skip
    header = ("first", "second", "difference", "p", "both right", "only the first",
              "only the second", "neither")  # fmt: skip
    note = (
        "Differences in points with 95 % intervals, on the same questions; p corrected for all "
        f"{len(board.pairs)} pairs of this table (Holm). Shares of the questions in %."
    )
    title = f"{board.name}: every row against every other"
    return Section(title, header, tuple(lines), note, folded=True)
