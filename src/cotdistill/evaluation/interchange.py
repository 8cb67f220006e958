r"""Other people's completions become ours, and our scores open in other people's viewers.

Import reads the authors' archives of Ho et al. 2023 (`B_<base>__C_<key>/D_<dataset>.json`: metadata, and completions by
sample index with the first call in `reasoning_completion` and the second in `completion`) and plain chat JSONL (`messages`, a
reply with `reasoning_content` or `<think>` where the model thinks). It writes recordings, one sample a line,

    {"question": "...", "completion": "<rationale>\nTherefore, the answer is 11.", "answer_completion": " 11.", "gold": "11", "index": 3}

which `teacher: {name: recorded, files: [...]}` answers from, or `Rationale` records. Export writes an Inspect log.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row, pick, rows, text_of
from cotdistill.errors import DataError
from cotdistill.evaluation.grid import Scored
from cotdistill.prompting.parts import ANSWER_TRIGGER, question_block
from cotdistill.records import Answer, Question, Rationale, Verdict
from cotdistill.text.options import split_options

__all__ = [
    "Imported",
    "as_rationale",
    "as_recording",
    "inspect_log",
    "question_ids",
    "question_key",
    "read_completions",
]

_THINK = re.compile(r"<think>(.*?)</think>\s*", re.DOTALL)
_CONCLUSION = re.compile(
    r"(?:(?:so|therefore|thus|hence),?\s+)?the (?:final )?answer is:?\s*|-->\s*|####\s*",
    re.IGNORECASE,
)
_SHORT_REPLY = 12
"""A reply of at most so many words after hidden thinking is an answer alone: the thinking is then the rationale."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One completion of someone else's: the rationale, and the text that gives the answer."""

    question: str
    rationale: str
    answer_text: str
    gold: str
    index: str
    sample_index: int
    finish_reason: str = ""
    model: str = ""


def read_completions(path: Path) -> Iterator[Imported]:
    """The completions of an archive file of Ho et al., a folder of them, or chat JSONL.

    Raises:
        DataError: the file is neither, or a part of it is malformed; the message names the place.
    """
    if path.is_dir():
        files = sorted(path.rglob("D_*.json"))
        if not files:
            raise DataError(
                f"{path}: holds no D_<dataset>.json; name a file, or a folder B_<base>__C_<key>"
            )
        for file in files:
            yield from read_completions(file)
    elif path.suffix == ".json" and isinstance(loaded := _load(path), Mapping):
        yield from _archive(path, loaded)
    else:
        yield from _chat(path)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: no JSON: {error}") from error


def _archive(path: Path, loaded: Mapping[str, Any]) -> Iterator[Imported]:
    samples = loaded.get("data")
    metadata = loaded.get("metadata")
    if not isinstance(samples, Mapping) or not isinstance(metadata, Mapping):
        raise DataError(
            f"{path}: no completions: it needs `metadata` and `data` by sample index (a data set is no import)"
        )
    model = str(metadata.get("base_model", ""))
    for index, completions in samples.items():
        for position, fields in enumerate(completions if isinstance(completions, list) else [None]):
            row = Row(
                f"{path}: data[{index!r}][{position}]",
                fields if isinstance(fields, Mapping) else {},
            )
            first = row.fields.get("reasoning_completion")
            second = str(pick(row, ("completion",), "completion"))
            rationale, answer = (str(first), second) if first is not None else _taken_apart(second)
            yield Imported(
                question=text_of(row, ("question",), "question"),
                rationale=rationale.strip(),
                answer_text=answer,
                gold=str(row.fields.get("answer", "")),
                index=str(row.fields.get("sample_index", index)),
                sample_index=int(row.fields.get("completion_index", position)),
                finish_reason=str(
                    row.fields.get("reasoning_finish_reason")
                    or row.fields.get("finish_reason")
                    or ""
                ),
                model=model,
            )


def _chat(path: Path) -> Iterator[Imported]:
    seen: dict[str, int] = {}
    for number, row in enumerate(rows(path)):
        messages = pick(row, ("messages", "conversations"), "chat")
        if not isinstance(messages, list) or not all(
            isinstance(message, Mapping) for message in messages
        ):
            raise DataError(f"{row.place}: messages: not a list of objects with role and content")
        said = [(_role(message, row), message) for message in messages]
        asked = [
            str(pick(Row(row.place, one), ("content", "value"), "question"))
            for role, one in said
            if role == "user"
        ]
        replies = [one for role, one in said if role == "assistant"]
        if not asked or not replies:
            raise DataError(
                f"{row.place}: messages: needs a user's question and an assistant's reply"
            )
        text = str(pick(Row(row.place, replies[-1]), ("content", "value"), "reply"))
        hidden = _THINK.search(text)
        thinking = str(
            replies[-1].get("reasoning_content")
            or replies[-1].get("reasoning")
            or (hidden[1] if hidden else "")
        )
        text = _THINK.sub("", text)
        rationale, answer = _taken_apart(text)
        if thinking.strip() and len(text.split()) <= _SHORT_REPLY:
            rationale = thinking.strip()
        question = re.sub(r"^\s*Q:\s*", "", asked[-1]).strip()
        sample = seen.get(question, 0)
        seen[question] = sample + 1
        index = str(row.fields.get("id", row.fields.get("index", number)))
        gold = str(row.fields.get("answer", row.fields.get("gold", "")))
        model = str(row.fields.get("model", ""))
        yield Imported(question, rationale.strip(), answer, gold, index, sample, model=model)


def _role(message: Mapping[str, Any], row: Row) -> str:
    role = str(pick(Row(row.place, message), ("role", "from"), "role"))
    return {"human": "user", "gpt": "assistant"}.get(role, role)


def _taken_apart(text: str) -> tuple[str, str]:
    """Rationale and answer of one reply: at its last answer sentence; a reply without one is a rationale as a whole."""
    marks = list(_CONCLUSION.finditer(text))
    if not marks:
        return text.strip(), " " + text.strip().rpartition("\n")[2].strip()
    return text[: marks[-1].start()].strip(), " " + text[marks[-1].end() :].strip()


def as_recording(one: Imported) -> dict[str, Any]:
    """The completion as the teacher `recorded` reads it."""
    answer = (
        one.answer_text
        if one.answer_text[:1].isspace() or not one.answer_text
        else " " + one.answer_text
    )
    return {
        "question": one.question,
        "completion": f"{one.rationale}\n{ANSWER_TRIGGER}{answer}",
        "answer_completion": answer,
        "gold": one.gold,
        "index": one.index,
        "sample_index": one.sample_index,
        "finish_reason": one.finish_reason,
        "model": one.model,
    }


def as_rationale(
    one: Imported, answer_type: AnswerType, ids: Mapping[str, str], task: str
) -> Rationale:
    """The completion as a rationale; its question is the task's one of the same words, else `<task>/<index>`.

    Args:
        ids: id by `question_key`, as `question_ids` makes it.
    """
    text, options = split_options(one.question)
    answer = answer_type.extract(f"{ANSWER_TRIGGER} {one.answer_text}", options=options)
    question_id = ids.get(question_key(text), f"{task}/{one.index}")
    extra = {"model": one.model, "gold": one.gold, "finish_reason": one.finish_reason}
    return Rationale(question_id, one.rationale, answer, one.sample_index, extra=extra)


def question_key(text: str) -> str:
    """What two writings of one question have in common: its words in lower case, without options."""
    return " ".join(re.findall(r"\w+", split_options(text)[0].lower()))


def question_ids(questions: Iterable[Question]) -> dict[str, str]:
    """Question ids by `question_key`."""
    return {question_key(question.text): question.id for question in questions}


_INSPECT_VALUES = {
    Verdict.CORRECT: "C",
    Verdict.WRONG: "I",
    Verdict.NO_ANSWER: "N",
    Verdict.ERROR: "N",
}
"""Inspect's own letters; a grader's error is shown as no answer, with the error as its explanation."""


def inspect_log(
    rows: Iterable[tuple[Question, Answer, Scored]],
    *,
    task: str,
    model: str,
    created: str,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """One cell of a run as a log of Inspect (format version 2), which `inspect view` opens.

    Args:
        rows: question, answer and verdict of every test question.
        created: time of evaluation, ISO 8601 with offset.
        settings: what tells the cell apart (method, strategy, seed, split), shown as the task's arguments.
    """
    samples = [
        _inspect_sample(question, answer, scored, model) for question, answer, scored in rows
    ]
    n = len(samples)
    share = sum(sample["scores"]["answer"]["value"] == "C" for sample in samples) / max(n, 1)
    metrics = {"accuracy": share, "stderr": (share * (1 - share) / max(n - 1, 1)) ** 0.5}
    key = json.dumps([task, model, dict(settings)], sort_keys=True).encode()
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": hashlib.sha256(key).hexdigest()[:22],
            "created": created,
            "task": task,
            "task_args": dict(settings),
            "dataset": {
                "name": task,
                "samples": n,
                "sample_ids": [sample["id"] for sample in samples],
            },
            "model": model,
            "config": {},
            "packages": {"cotdistill": __version__},
        },
        "plan": {
            "name": "plan",
            "steps": [{"solver": "cotdistill", "params": dict(settings)}],
            "config": {},
        },
        "results": {
            "total_samples": n,
            "completed_samples": n,
            "scores": [
                {
                    "name": "answer",
                    "scorer": "answer",
                    "metrics": {
                        name: {"name": name, "value": value} for name, value in metrics.items()
                    },
                }
            ],
        },
        "stats": {"started_at": created, "completed_at": created},
        "samples": samples,
    }


def _inspect_sample(
    question: Question, answer: Answer, scored: Scored, model: str
) -> dict[str, Any]:
    asked = question_block(question)
    messages = [{"role": "user", "content": asked}]
    for step in answer.trace[:-1]:
        messages += [
            {"role": "assistant", "content": str(step["text"])},
            {"role": "user", "content": "(next call)"},
        ]
    reply = {"role": "assistant", "content": answer.text, "source": "generate", "model": model}
    tokens = {"input_tokens": answer.prompt_tokens, "output_tokens": answer.completion_tokens}
    return {
        "id": question.id,
        "epoch": 1,
        "input": asked,
        **({"choices": list(question.options)} if question.options else {}),
        "target": question.answer or "",
        "messages": [*messages, reply],
        "output": {
            "model": model,
            "choices": [{"message": reply, "stop_reason": "stop"}],
            "usage": tokens | {"total_tokens": sum(tokens.values())},
        },
        "scores": {
            "answer": {
                "value": _INSPECT_VALUES[scored.verdict],
                "answer": scored.answer or "",
                "explanation": scored.note or scored.verdict.value,
            }
        },
        "metadata": {"trace": [dict(step) for step in answer.trace], "votes": list(answer.votes)},
    }
