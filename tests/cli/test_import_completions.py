import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.errors import DataError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["import", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.fixture
def chat(tmp_path: Path) -> str:
    path = tmp_path / "chat.jsonl"
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{i}+1?"},
                {"role": "assistant", "content": f"One more. The answer is {i + 1}."},
            ],
            "answer": "2",
        }
        for i in range(3)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_recordings_and_rationales(chat: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    told = run(chat, "--out", str(out), "--task", "multiarith")
    assert "3 completions of 3 questions, 1 of 3 reach gold, 0 have no answer" in told
    told = run(chat, "--out", str(out), "--task", "choice", "--force")
    assert "3 questions, none has a gold answer that this task reads" in told
    assert "teacher: {name: recorded" in told
    assert len(out.read_text().splitlines()) == 3
    run(chat, "--out", str(out), "--task", "multiarith", "--rationales", "--force")
    (first, *_) = map(json.loads, out.read_text().splitlines())
    assert (first["question_id"], first["text"], first["answer"]) == (
        "multiarith/0",
        "One more.",
        "1",
    )


def test_questions_of_another_file_are_joined_by_id(tmp_path: Path) -> None:
    replies, questions = tmp_path / "replies.jsonl", tmp_path / "questions.jsonl"
    replies.write_text('{"id": 7, "completion": "One more. The answer is 2."}\n')
    questions.write_text('{"id": "7", "question": "What is 1 + 1?"}\n')
    out = tmp_path / "out.jsonl"
    told = run(str(replies), "--questions", str(questions), "--out", str(out))
    assert "1 completions of 1 questions" in told
    assert json.loads(out.read_text())["question"] == "What is 1 + 1?"
    questions.write_text('{"id": "8", "question": "What is 1 + 1?"}\n')
    with pytest.raises(DataError, match="7 is no id of the file `questions`"):
        run(str(replies), "--questions", str(questions), "--out", str(out), "--force")


def test_what_cannot_be_done_is_said(chat: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--rationales: needs --task"):
        run(chat, "--out", str(tmp_path / "out.jsonl"), "--rationales")
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(DataError, match="exists; choose another --out, or --force"):
        run(chat, "--out", str(tmp_path / "out.jsonl"))
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no completions"):
        run(str(tmp_path / "empty.jsonl"), "--out", str(tmp_path / "other.jsonl"))
