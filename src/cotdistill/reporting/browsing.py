"""The data that a reader of the page leafs through, as JSON: pairs, rationales, every question."""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cotdistill.evaluation.grid import Scored, slices
from cotdistill.records import Answer, Question
from cotdistill.reporting.failing import GROUPS, answered_rows, read_answers
from cotdistill.reporting.scoreboard import Board
from cotdistill.reporting.worth import DataSet
from cotdistill.runs.run import Run
from cotdistill.util.terminal import printable

MOST_BYTES = 1_800_000
"""Packed data of a page; with its charts and tables a page stays below 3 MB."""


def pair_sets(boards: Sequence[Board], baseline: str) -> list[dict[str, Any]]:
    """Return the rows of each board and the comparison of any two of them.

    `shown` are the two that the page begins with: the best student and the baseline.
    """
    return [
        {
            "name": board.name,
            "rows": [
                {"place": one.place, "label": one.label, "accuracy": one.row.accuracy,
                 "low": one.row.low, "high": one.row.high} for one in board.rows
            ],
            "pairs": [pair.to_json() for pair in board.pairs],
            "shown": _first_pair(board, baseline),
        }
        for board in boards
    ]  # fmt: skip


def _first_pair(board: Board, baseline: str) -> tuple[int, int]:
    best = board.rows.index((board.students or board.rows)[0])
    others = [place for place in range(len(board.rows)) if place != best]
    named = [place for place in others if board.rows[place].row.method == baseline]
    return best, (named or others or [best])[0]


def answer_set(board: Board) -> dict[str, Any]:
    """Return a board without its questions: names of its rows, and of groups with their values."""
    rows = answered_rows(board)
    values = {name: [one["group"] for one in rows[0].by_group[name]] for name in GROUPS if rows}
    return {"name": board.name, "rows": [one.label for one in rows], "groups": values}


def answer_items(run: Run, board: Board) -> Iterator[dict[str, Any]]:
    """Yield every question of a board with its groups and all answers, as the page shows them."""
    groups = slices(run.questions(board.task, board.split))
    for question, cells in read_answers(run, board):
        yield answer_item(question, groups, cells)


def answer_item(
    question: Question,
    groups: Mapping[str, Mapping[str, Any]],
    cells: Sequence[tuple[Answer, Scored, float]],
) -> dict[str, Any]:
    """Return a question as the page shows it; see `failing.read_answers` for its cells."""
    return {
        "id": question.id,
        "question": question.block,
        "gold": question.answer,
        "rationale": question.rationale,
        "groups": {name: groups[name][question.id] for name in GROUPS},
        "answers": [
            {"verdict": scored.verdict, "answer": answer.answer, "text": answer.text,
             "tokens": answer.completion_tokens, "right": right}
            for answer, scored, right in cells
        ],
    }  # fmt: skip


def rationale_sets(run: Run, data: Sequence[DataSet]) -> list[dict[str, Any]]:
    """Return examples of kept and dropped rationales with their questions."""
    sets = []
    for one in (one for one in data if one.reasoned):
        wanted = {row["question_id"] for row in one.examples}
        questions = {q.id: q for q in run.questions(one.task, "train") if q.id in wanted}
        items = [rationale_item(row, questions) for row in one.examples]
        reasons = sorted({item["reason"] for item in items})
        sets.append({"name": one.name, "reasons": reasons, "total": len(items), "items": items})
    return sets


def rationale_item(row: Mapping[str, Any], questions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rationale as the page shows it; `reason` is empty where it was kept."""
    question = questions.get(row["question_id"])
    return {
        "id": row["question_id"],
        "question": question.block if question else "",
        "gold": question.answer if question else row.get("gold"),
        "answer": row["answer"],
        "reason": row["reason"],
        "text": row["text"],
    }


def packed(data: Mapping[str, Any]) -> str:
    """Return data as base64 of gzipped JSON: nothing in it can be markup.

    Characters that steer a terminal or turn the direction of writing are written as escapes.
    """
    text = json.dumps(inert(data), ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")


def inert(value: Any) -> Any:
    """Return JSON-able data with every character that steers a display written as its escape."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {key: inert(one) for key, one in value.items()}
    return [inert(one) for one in value] if isinstance(value, list | tuple) else value


def page_data(run: Run, boards: Sequence[Board], data: Sequence[DataSet]) -> str:
    """Return everything that one page holds, packed, with as many questions as there is room for.

    The page says where it does not hold all; `cotdistill view` shows the rest.
    """
    answers = [{**answer_set(board), "items": list(answer_items(run, board))}
               for board in boards]  # fmt: skip
    for one in answers:
        one["total"] = len(one["items"])
    whole = {"pairs": pair_sets(boards, run.baseline), "rationales": rationale_sets(run, data),
             "answers": answers}  # fmt: skip
    found = packed(whole)
    while len(found) > MOST_BYTES and any(one["items"] for one in answers):
        share = 0.95 * MOST_BYTES / len(found)
        for one in answers:
            del one["items"][int(share * len(one["items"])) :]
        found = packed(whole)
    return found
