r"""Other people's completions become ours, and our scores open in other people's viewers.

Import reads every form of row that `data.fields` knows (chats, archives of Ho et al. 2023
`B_<base>__C_<key>/D_<dataset>.json`, Alpaca, samples of lm-eval and Inspect) and writes recordings,
one sample a line,

    {"question": "...", "completion": "<rationale>\nTherefore, the answer is 11.",
     "answer_completion": " 11.", "gold": "11"}

which `teacher: {name: recorded, files: [...]}` answers from, or `Rationale` records. Export writes
an Inspect log.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.contracts import AnswerType
from cotdistill.data.fields import ALIASES, ParsedReply, gold_of, optional, replies_of
from cotdistill.data.joining import joined_question, questions_by_id
from cotdistill.data.rows import rows
from cotdistill.errors import DataError
from cotdistill.evaluation.grid import Scored
from cotdistill.prompting.base import ANSWER_TRIGGER
from cotdistill.records import REFUSED, Answer, Question, Rationale, Verdict
from cotdistill.text.options import split_options
from cotdistill.text.templates import question_words
from cotdistill.util.addresses import is_address


@dataclass(frozen=True, slots=True)
class Imported:
    """One completion of someone else's."""

    question: str
    reply: ParsedReply
    gold: str
    index: str
    sample_index: int
    model: str = ""


def read_completions(path: str | Path, questions: str | Path | None = None) -> Iterator[Imported]:
    """Read the completions of a file, here or elsewhere, or of every archive D_<dataset>.json in a
    folder; `questions` is the file with the questions of rows that have an id alone.

    Raises:
        DataError: a row has no question or no reply; the message names the place.
    """
    folder = None if is_address(path) else Path(path)
    files = sorted(folder.rglob("D_*.json")) if folder and folder.is_dir() else [path]
    if not files:
        raise DataError(
            f"{path}: holds no D_<dataset>.json; name a file, or a folder B_<base>__C_<key>"
        )
    by_id = questions_by_id(questions) if questions is not None else {}
    for file in files:
        samples: Counter[str] = Counter()
        for number, row in enumerate(rows(file)):
            question = joined_question(row, by_id).removeprefix("Q:").strip()
            gold, model = optional(row, ALIASES["gold"], "gold"), optional(row, ("model",), "model")
            index = optional(row, ALIASES["index"], "index") or str(number)
            for reply in replies_of(row):
                yield Imported(question, reply, gold, index, samples[question], model)
                samples[question] += 1


def as_recording(one: Imported) -> dict[str, Any]:
    """Return the completion as the teacher `recorded` reads it."""
    answer = one.reply.answer if one.reply.answer[:1].isspace() else f" {one.reply.answer}".rstrip()
    return {
        "question": one.question,
        "completion": f"{one.reply.rationale}\n{ANSWER_TRIGGER}{answer}",
        "answer_completion": answer,
        "gold": one.gold,
        "index": one.index,
        "sample_index": one.sample_index,
        "finish_reason": one.reply.finish_reason,
        "model": one.model,
    }


def as_rationale(
    one: Imported, answer_type: AnswerType, ids: Mapping[str, str], task: str
) -> Rationale:
    """Return the completion as a rationale of the task's question of the same words, else
    `<task>/<index>`.

    Args:
        ids: id by `question_key`, as `question_ids` makes it.
    """
    text, options = split_options(one.question)
    refused = one.reply.finish_reason == REFUSED
    said = f"{ANSWER_TRIGGER} {one.reply.answer}"
    answer = None if refused else answer_type.extract(said, options=options)
    question_id = ids.get(question_key(text), f"{task}/{one.index}")
    extra: dict[str, Any] = {
        "model": one.model,
        "gold": one.gold,
        "finish_reason": one.reply.finish_reason,
    }
    extra |= {"truncated": True} if one.reply.finish_reason == "length" else {}
    return Rationale(question_id, one.reply.rationale, answer, one.sample_index, extra=extra)


def readable_gold(one: Imported, answer_type: AnswerType) -> str | None:
    """Return the gold answer beside a completion in canonical form, None where it is none of the
    type."""
    try:
        return gold_of(one.gold, answer_type, one.index).canonical if one.gold else None
    except DataError:
        return None


def question_key(text: str) -> str:
    """Return what two writings of one question have in common: words and signs, no options."""
    return " ".join(question_words(split_options(text)[0]))


def question_ids(questions: Iterable[Question]) -> dict[str, str]:
    """Return question ids by `question_key`."""
    return {question_key(question.text): question.id for question in questions}


_INSPECT_VALUES = {Verdict.CORRECT: "C", Verdict.WRONG: "I"}
"""Inspect's own letters; a grader's error is shown as no answer, with the error as its explanation.
"""


def inspect_log(
    rows: Iterable[tuple[Question, Answer, Scored]],
    task: str,
    model: str,
    created: str,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return one cell of a run as a log of Inspect (format version 2), which `inspect view` opens.

    Args:
        rows: question, answer and verdict of every test question.
        created: time of evaluation, ISO 8601 with offset.
        settings: what tells the cell apart (method, strategy, seed, split), shown as the task's
        arguments.
    """
    samples = [_inspect_sample(*row, model) for row in rows]
    n = len(samples)
    share = sum(sample["scores"]["answer"]["value"] == "C" for sample in samples) / max(n, 1)
    metrics = {"accuracy": share, "stderr": (share * (1 - share) / max(n - 1, 1)) ** 0.5}
    named = {name: {"name": name, "value": value} for name, value in metrics.items()}
    scores = [{"name": "answer", "scorer": "answer", "metrics": named}]
    key = json.dumps([task, model, dict(settings)], sort_keys=True).encode()
    ids = [sample["id"] for sample in samples]
    steps = [{"solver": "cotdistill", "params": dict(settings)}]
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": hashlib.sha256(key).hexdigest()[:22],
            "created": created,
            "task": task,
            "task_args": dict(settings),
            "dataset": {"name": task, "samples": n, "sample_ids": ids},
            "model": model,
            "config": {},
            "packages": {"cotdistill": __version__},
        },
        "plan": {"name": "plan", "steps": steps, "config": {}},
        "results": {"total_samples": n, "completed_samples": n, "scores": scores},
        "stats": {"started_at": created, "completed_at": created},
        "samples": samples,
    }


def _inspect_sample(
    question: Question, answer: Answer, scored: Scored, model: str
) -> dict[str, Any]:
    messages = [{"role": "user", "content": question.block}]
    for step in answer.trace[:-1]:
        messages.append({"role": "assistant", "content": str(step["text"])})
        messages.append({"role": "user", "content": "(next call)"})
    reply = {"role": "assistant", "content": answer.text, "source": "generate", "model": model}
    tokens = {"input_tokens": answer.prompt_tokens, "output_tokens": answer.completion_tokens}
    score = {
        "value": _INSPECT_VALUES.get(scored.verdict, "N"),
        "answer": scored.answer or "",
        "explanation": scored.note or scored.verdict.value,
    }
    return {
        "id": question.id,
        "epoch": 1,
        "input": messages[0]["content"],
        **({"choices": list(question.options)} if question.options else {}),
        "target": question.answer or "",
        "messages": [*messages, reply],
        "output": {
            "model": model,
            "choices": [{"message": reply, "stop_reason": "stop"}],
            "usage": tokens | {"total_tokens": sum(tokens.values())},
        },
        "scores": {"answer": score},
        "metadata": {"trace": [dict(step) for step in answer.trace], "votes": list(answer.votes)},
    }
