"""The served page: the same rows as the files, filters, progress, hosts, several runs."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import TeacherError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.runs.run import Run
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_jsonl

starlette = pytest.importorskip("starlette")
from starlette.testclient import TestClient  # noqa: E402

from cotdistill.reporting.viewing import view_app  # noqa: E402

HOSTILE = "</script><script>alert(1)</script> \u202e"


def recipe(folder: Path, name: str = "v") -> dict[str, Any]:
    rows = [{"question": f"{n} + 1? {HOSTILE}", "answer": str(7 + n % 2)} for n in range(60)]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": name,
        "output": str(folder),
        "task": {"name": "custom", "path": str(folder / "q.jsonl"), "answer": "number",
                 "label": "sums"},
        "teacher": {"name": "scripted", "replies": {"the answer is": " 7.", "": f" {HOSTILE}"}},
        "student": {"model": str(tiny_checkpoint(folder / "base", "gpt2")), "label": "tiny"},
        "methods": [
            {"name": "fine_tune_cot", "samples": 2, "student_max_tokens": 4, "label": "cot"},
            {"name": "zero_shot_cot", "role": "teacher", "label": "teacher"},
        ],
        "filters": ["answer_match"],
        "limit": {"train": 12, "validation": 2, "test": 9},
        "train": {"epochs": 1, "batch_size": 4},
    }  # fmt: skip


def client(*runs: dict[str, Any]) -> TestClient:
    opened = [(one["name"], functools.partial(lambda one: Run(parse_recipe(one)), one))
              for one in runs]  # fmt: skip
    return TestClient(view_app(opened), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, TestClient]:
    settings = recipe(tmp_path_factory.mktemp("view"))
    return run_recipe(parse_recipe(settings)), client(settings)


def page_of(client: TestClient, name: str, **query: Any) -> dict[str, Any]:
    filter = json.dumps(query.pop("filter", {}))
    values = {"set": 0, "offset": 0, "limit": 50, "filter": filter, **query}
    reply = client.get(f"/r/0/api/{name}", params=values)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_the_page_is_the_report_with_live_progress(viewed: tuple[Run, TestClient]) -> None:
    html = viewed[1].get("/").text
    assert re.findall(r"<h2 id.*?>\d\. (.*?)</h2>", html)[0] == "What won?"
    assert 'id="progress"' in html
    assert "connect-src &#39;self&#39;" in html and "alert(1)</script>" not in html
    progress = viewed[1].get("/r/0/api/progress").json()
    assert [(one["name"], one["done"], one["total"]) for one in progress["stages"]] == [
        ("generate", 1, 1), ("curate", 1, 1), ("train", 1, 1), ("infer", 2, 2), ("evaluate", 1, 1),
    ]  # fmt: skip
    assert "completions" in progress["stages"][0]["note"] and progress["finished"]


def test_rationales_are_paged_kept_first_and_filtered(viewed: tuple[Run, TestClient]) -> None:
    run, client = viewed
    (where,) = run.trained()
    folder = run.curate_artifact(*where).folder
    kept, dropped = (list(read_jsonl(folder / f"{name}.jsonl")) for name in ("kept", "dropped"))
    assert kept and dropped
    found = page_of(client, "rationales")
    assert found["total"] == len(kept) + len(dropped) == 24
    assert [bool(one["reason"]) for one in found["items"]] == [False] * len(kept) + [True] * len(
        dropped
    )
    edge = page_of(client, "rationales", offset=len(kept) - 1, limit=2)["items"]
    assert [one["id"] for one in edge] == [kept[-1]["question_id"], dropped[0]["question_id"]]
    assert "\\u202e" in edge[0]["question"] and "\u202e" not in edge[0]["question"]
    reason = {"reason": "answer_match: wrong answer"}
    assert page_of(client, "rationales", filter=reason)["total"] == len(dropped)
    assert page_of(client, "rationales", filter={"reason": ""})["total"] == len(kept)
    assert page_of(client, "rationales", filter={"reason": "all"})["total"] == 24
    nothing = page_of(client, "rationales", filter={"search": "not there"})
    assert nothing == {"total": 0, "more": False, "items": []}


def test_questions_are_served_with_all_answers(viewed: tuple[Run, TestClient]) -> None:
    run, client = viewed
    found = page_of(client, "answers", offset=3, limit=4)
    asked = list(run.questions(run.recipe.tasks[0], "test"))[3:7]
    assert found["total"] == 9 and [one["id"] for one in found["items"]] == [q.id for q in asked]
    right = page_of(client, "answers", filter={"first": 1, "firstVerdict": "correct"})["items"]
    teacher = next(row for row in run.scores() if row["method"] == "teacher")
    assert len(right) / 9 == pytest.approx(teacher["accuracy"]) and right


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/r/0/api/answers?set=0&limit=0", 400), ("/r/0/api/answers?set=5&limit=5", 400),
        ("/r/0/api/answers?set=-1&limit=5", 400), ("/r/0/api/answers?limit=9999", 400),
        ("/r/0/api/answers?set=x&limit=5", 400), ("/r/0/api/other?limit=5", 400),
        ("/r/0/api/answers?limit=5&filter=[", 400), ("/r/7/", 404), ("/etc/passwd", 404),
        ('/r/0/api/answers?limit=5&filter={"first":"99","firstVerdict":"wrong"}', 400),
    ],
)  # fmt: skip
def test_bad_requests_are_refused(viewed: tuple[Run, TestClient], path: str, status: int) -> None:
    assert viewed[1].get(path).status_code == status


def test_only_this_machine_by_its_own_names_and_only_reading(
    viewed: tuple[Run, TestClient],
) -> None:
    client = viewed[1]
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert client.get("/r/0/api/progress", headers={"host": host}).status_code == 400
    assert client.get("/r/0/api/progress", headers={"host": "localhost:8000"}).status_code == 200
    assert client.post("/r/0/api/answers").status_code == 405
    assert "access-control-allow-origin" not in client.get("/r/0/api/progress").headers


def test_a_run_under_way_shows_what_is_there_and_goes_on(tmp_path: Path) -> None:
    settings = recipe(tmp_path)
    run_recipe(parse_recipe(settings), stages=["generate", "curate"])
    viewer = client(settings)
    html = viewer.get("/r/0/").text
    assert "What is the data worth?" in html and "What won?" not in html
    assert "No scores yet" in html and "run the stage evaluate first" in html
    assert page_of(viewer, "rationales")["total"] == 24
    progress = viewer.get("/r/0/api/progress").json()
    assert not progress["finished"] and progress["stages"][2]["done"] == 0
    run_recipe(parse_recipe(settings))
    after = viewer.get("/r/0/api/progress").json()
    assert after["finished"] and after["stamp"] != progress["stamp"]
    assert "What won?" in viewer.get("/r/0/").text


def test_several_runs_are_listed_and_an_empty_one_waits(tmp_path: Path) -> None:
    one, other = recipe(tmp_path, "one"), recipe(tmp_path, "other")
    viewer = client(one, other)
    html = viewer.get("/").text
    assert 'href="r/0/"' in html and 'href="r/1/"' in html and "other" in html
    assert viewer.get("/r/1/").status_code == 200
    broken = {**one, "teacher": {"name": "scripted", "fault": "question failed"}}
    with pytest.raises(TeacherError):
        run_recipe(parse_recipe({**broken, "teacher": {
            "name": "scripted", "replies": "7",
            "faults": dict.fromkeys(map(str, range(10)), "question failed")}}))  # fmt: skip
    assert viewer.get("/r/0/api/progress").json()["stages"][0]["done"] == 0
