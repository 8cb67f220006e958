"""The page of a run while it runs and after: served on this machine alone, with all its rows.

    GET /            the page of the first run, or the list of runs where there are several
    GET /r/N/        the page of run N; its browsers ask
    GET /r/N/api/answers, rationales     ?set=0&offset=0&limit=50&filter={...}
    GET /r/N/api/progress                what is done of each stage

Only read, only GET, only under the names 127.0.0.1 and localhost: a page elsewhere that a reader
has open cannot ask for a run's data through another name of this machine. Rationales and answers
are read from their files by number; no file is held whole.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cotdistill.errors import CotdistillError
from cotdistill.evaluation.grid import Scored, slices
from cotdistill.model.completion_log import CompletionLog
from cotdistill.records import Answer
from cotdistill.reporting.browsing import (
    answer_item,
    answer_set,
    inert,
    packed,
    pair_sets,
    rationale_item,
)
from cotdistill.reporting.chapters import chapters
from cotdistill.reporting.failing import answered_rows
from cotdistill.reporting.paging import (
    Finder,
    Item,
    LineIndex,
    Shelf,
    answer_matches,
    rationale_matches,
    whole_page,
)
from cotdistill.reporting.rendering import page
from cotdistill.reporting.scoreboard import Board, read_boards
from cotdistill.reporting.worth import DataSet, read_data_sets, so_far
from cotdistill.runs.run import Run
from cotdistill.runs.store import Artifact

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request as HttpRequest

_MOST_LIMIT = 200
_MOST_FINDERS = 32
"""Filters whose finds are remembered; the oldest is forgotten first."""


class RationaleShelf:
    """The kept rationales of a task and method, and behind them the dropped ones."""

    def __init__(self, run: Run, data: DataSet) -> None:
        self._parts = [LineIndex(data.folder / name) for name in ("kept.jsonl", "dropped.jsonl")]
        self._questions = {one.id: one for one in run.questions(data.task, "train")}

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def read(self, start: int, count: int) -> Iterator[Item]:
        """Yield items from number `start` on."""
        for kept, part in zip((True, False), self._parts, strict=True):
            size = len(part)
            here = min(count, max(0, size - start))
            for row in part.rows(start, here) if here else ():
                reason = "" if kept else f"{row['filter']}: {row['reason']}"
                yield rationale_item({**row, "reason": reason}, self._questions)
            start, count = max(0, start - size), count - here


class AnswerShelf:
    """The questions of a board with all answers."""

    def __init__(self, run: Run, board: Board) -> None:
        self._questions = list(run.questions(board.task, board.split))
        self._groups = slices(self._questions)
        self._rows = [
            [(LineIndex(cell.folder / "answers.jsonl"), LineIndex(cell.folder / "scored.jsonl"))
             for cell in row.answered]
            for row in answered_rows(board)
        ]  # fmt: skip

    def __len__(self) -> int:
        return len(self._questions)

    def read(self, start: int, count: int) -> Iterator[Item]:
        """Yield items from number `start` on."""
        questions = self._questions[start : start + count]
        columns = [_column(seeds, start, count) for seeds in self._rows]
        for question, *cells in zip(questions, *columns, strict=True):
            yield answer_item(question, self._groups, cells)


def _column(
    seeds: Sequence[tuple[LineIndex, LineIndex]], start: int, count: int
) -> Iterator[tuple[Answer, Scored, float]]:
    answers = seeds[0][0].rows(start, count)
    verdicts = [scored.rows(start, count) for _, scored in seeds]
    for answer, *scored in zip(answers, *verdicts, strict=True):
        found = [Scored.from_json(one) for one in scored]
        right = sum(one.verdict == "correct" for one in found) / len(found)
        yield Answer.from_json(answer), found[0], right


class ViewedRun:
    """One run as the server shows it; what was read is read again when its scores change."""

    def __init__(self, open_again: Callable[[], Run]) -> None:
        self._open_again = open_again
        self.run = open_again()
        # One request at a time reads: shelves, finders and the run's caches are not for several.
        self.lock = threading.Lock()
        self._stamp: tuple[float, ...] = ()
        self._page = ""
        self._shelves: dict[str, list[Shelf]] = {}
        self._finders: dict[tuple[str, int, str], Finder] = {}

    def html(self) -> str:
        """Return the page, of what is there by now."""
        self._follow()
        return self._page

    def items(
        self, name: str, place: int, filter: Mapping[str, Any], offset: int, limit: int
    ) -> Item:
        """Return a page of the items of a set that a filter lets through.

        Raises:
            IndexError: there is no such set.
        """
        self._follow()
        shelf = self._shelves.get(name, [])[place]
        # An empty reason is one: it stands for the rationales that were kept.
        wanted = {key: value for key, value in filter.items()
                  if value not in ("", None, "all") or (key, value) == ("reason", "")}  # fmt: skip
        if not wanted:
            return whole_page(shelf, offset, limit)
        key = name, place, json.dumps(wanted, sort_keys=True)
        if key not in self._finders:
            matches = {"answers": answer_matches, "rationales": rationale_matches}[name](wanted)
            while len(self._finders) >= _MOST_FINDERS:
                del self._finders[next(iter(self._finders))]
            self._finders[key] = Finder(shelf, matches)
        return self._finders[key].page(offset, limit)

    def progress(self) -> Item:
        """Return what is done of each stage, and a stamp that changes when the page does."""
        stages = list(_stages(self.run))
        stamp = list(self._files())
        return {"stages": stages, "stamp": stamp, "finished": bool(stamp[1])}

    def _files(self) -> tuple[float, ...]:
        paths = (self.run.folder / name for name in ("recipe.yaml", "scores.json"))
        return tuple(path.stat().st_mtime if path.exists() else 0.0 for path in paths)

    def _follow(self) -> None:
        if self._stamp == (stamp := self._files()) and self._page:
            return
        self.run = self._open_again()
        self._finders = {}
        data = list(read_data_sets(self.run))
        boards, missing = list[Board](), ""
        try:
            boards = read_boards(self.run)
        except CotdistillError as error:
            missing = f"No scores yet: {error}."
        reasoned = [one for one in data if one.reasoned]
        self._shelves = {
            "answers": [AnswerShelf(self.run, board) for board in boards],
            "rationales": [RationaleShelf(self.run, one) for one in reasoned],
        }
        sets = {
            "pairs": pair_sets(boards, self.run.baseline),
            "answers": [answer_set(board) for board in boards],
            "rationales": [
                {"name": one.name, "reasons": ["", *one.curated["dropped"]]} for one in reasoned
            ],
        }
        found = chapters(self.run, boards, data) if boards else [so_far(data, missing)]
        self._page = page(self.run.recipe.name, found, packed(sets), live=True)
        self._stamp = stamp


def _stages(run: Run) -> Iterator[Item]:
    """Yield each stage with how many of its jobs are done, and a note of what is under way."""
    parts: dict[str, list[Artifact]] = {
        "generate": [run.generate_artifact(*one) for one in run.trained()],
        "curate": [run.curate_artifact(*one) for one in run.trained()],
        "train": [run.train_artifact(one) for one in run.cells() if one.method.plugin.rounds],
        "infer": [run.infer_artifact(*one) for one in run.answered()],
    }
    for name, artifacts in parts.items():
        done = sum(one.metadata is not None for one in artifacts)
        note = ""
        if name == "generate":
            note = _asked(run)
        elif name == "infer" and done < len(artifacts):
            lines = sum(len(LineIndex(path)) for one in artifacts
                        for path in one.folder.glob("answers.jsonl.log"))  # fmt: skip
            note = f"{lines} answers of those under way" if lines else ""
        yield {"name": name, "done": done, "total": len(artifacts), "note": note}
    evaluated = (run.folder / "scores.json").exists()
    yield {"name": "evaluate", "done": int(evaluated), "total": 1, "note": ""}


def _asked(run: Run) -> str:
    """Return the completions and tokens of the run so far, as the completion log counts them."""
    path = run.recipe.completions or run.folder / "completions.sqlite"
    if not path.exists():
        return ""
    try:
        with CompletionLog(path, run=run.recipe.name, read_only=True) as log:
            counts = log.read_counts()
    except CotdistillError:  # locked for a moment by the run itself
        return ""
    completions, written = (
        counts["teacher", name] for name in ("completions", "completion_tokens")
    )
    return f"{completions:,.0f} completions, {written:,.0f} tokens written by the teacher"


def view_app(opened: Sequence[tuple[str, Callable[[], Run]]]) -> "Starlette":
    """Return the application that shows these runs, each given by a name and how to open it."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
    from starlette.routing import Route

    runs = [ViewedRun(how) for _, how in opened]
    headers = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }

    async def locked(request: "HttpRequest", act: Callable[[ViewedRun], Any]) -> Any:
        place = request.path_params["run"]
        if place >= len(runs):
            raise HTTPException(404, "there is no such run")

        def do() -> Any:
            with runs[place].lock:
                return act(runs[place])

        return await run_in_threadpool(do)

    async def start(request: "HttpRequest") -> Response:
        if len(runs) == 1:
            return RedirectResponse("r/0/", headers=headers)
        links = [(f"r/{number}/", name) for number, (name, _) in enumerate(opened)]
        return HTMLResponse(page("Runs", [], links=links), headers=headers)

    async def show(request: "HttpRequest") -> Response:
        html = await locked(request, ViewedRun.html)
        return HTMLResponse(html, headers=headers)

    async def items(request: "HttpRequest") -> Response:
        query, name = request.query_params, request.path_params["name"]
        try:
            place, offset, limit = (int(query.get(key, 0)) for key in ("set", "offset", "limit"))
            filter = json.loads(query.get("filter", "{}"))
            if (
                min(place, offset) < 0
                or not 0 < limit <= _MOST_LIMIT
                or not isinstance(filter, dict)
            ):
                raise ValueError("out of range")
            found = await locked(request, lambda one: one.items(name, place, filter, offset, limit))
        except (ValueError, IndexError, TypeError) as error:
            raise HTTPException(400, f"no such page: {error}") from error
        return JSONResponse(inert(found), headers=headers)

    async def progress(request: "HttpRequest") -> Response:
        found = await locked(request, ViewedRun.progress)
        return JSONResponse(inert(found), headers=headers)

    routes = [
        Route("/", start),
        Route("/r/{run:int}/", show),
        Route("/r/{run:int}/api/progress", progress),
        Route("/r/{run:int}/api/{name:str}", items),
    ]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return Starlette(routes=routes, middleware=[guard])
