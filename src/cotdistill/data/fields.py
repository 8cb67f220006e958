"""Read the fields of a row strictly: texts, missing values, questions, options, replies and gold,
under the names people use.

A text is a string, a number, a truth value, or a list of content parts of a chat; a missing value
is None, NaN, NaT or "". Anything else is refused with its place: no `repr` of Python ever becomes
part of a question or an answer. The forms read:

    {"question": ..., "answer": ...}
    {"instruction": ..., "input": ..., "output": ...}                     (Alpaca)
    {"messages": [{"role": "user", "content": ...}, ...]}                 (OpenAI)
    {"conversations": [{"from": "human", "value": ...}, ...]}             (ShareGPT)
    {"request": {"messages": ...}, "response": {"choices": ...}}          (logs of endpoints)
    {"custom_id": ..., "response": {"body": {"choices": ...}}}            (batch files of OpenAI)
    {"question": ..., "reasoning": ..., "answer": ...}                    (thinking in a column)
    {"problem": ..., "generations": [...], "finish_reasons": [...]}       (several samples)
    {"doc": {...}, "resps": [[...]], "target": ...}                       (lm-eval)
    {"input": ..., "target": ..., "output": {"choices": ...}}             (Inspect)
    {"choices": {"text": [...], "label": [...]}, "answerKey": "B"}        (ARC)
    {"choices": [...], "answer": 2}                                       (MMLU)
    {"question": ..., "A": ..., "B": ..., "C": ..., "D": ..., "answer": "C"}
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from math import isinf
from typing import Any, NamedTuple

from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row
from cotdistill.errors import DataError
from cotdistill.records import REFUSED
from cotdistill.text.finish import judged
from cotdistill.text.thinking import split_thinking

ALIASES = {
    "question": (
        "question", "problem", "instruction", "question_stem", "question_concat", "input",
        "inputs", "prompt", "query", "text",
    ),
    "answer": (
        "answer", "gold", "answerKey", "correct", "label", "target", "targets", "final_ans",
        "output_answer", "result", "output",
    ),
    "gold": ("gold", "answer", "answerKey", "correct", "label", "target", "targets"),
    "options": ("options", "choices", "candidates", "alternatives"),
    "completion": (
        "completion", "output", "response", "completions", "outputs", "responses", "resps",
        "generated_text", "generations", "chain",
    ),
    "rationale": ("rationale", "reasoning", "explanation", "solution", "chain"),
    "index": ("index", "id", "doc_id", "sample_index"),
}  # fmt: skip
"""The names a field goes by, the usual one first: for every reader of other people's files."""

_CHATS = ("messages", "conversations")
_THINKING = ("reasoning_content", "reasoning", "thinking")
"""Thinking that stands beside a reply, in a message or in a column of its own."""
_SAID = (None, "text", "output_text")
"""Types of the parts of a message that are its text."""
_ENDS = ("finish_reason", "finishReason", "stop_reason", "done_reason")
"""Where OpenAI, Google, Anthropic, Inspect and Ollama say how a reply ended; the first decides."""
_SHORT_REPLY = 12
"""A reply of at most so many words after thinking is an answer alone: the thinking is then the
rationale."""
# The sentence that gives the answer. Repeats are bounded: an open bracket or "so" with a long gap
# stays linear.
_CONCLUSION = re.compile(
    r"(?:(?:so|therefore|thus|hence)\W{1,4})?(?:among \w{1,20} through \w{1,20}\W{1,4})?"
    r"the (?:final |correct )?answer(?: \([^()\n]{1,60}\))? is:?\s?|-->|####",
    re.IGNORECASE,
)
# A sentence ends before a capital, or at the end of a line.
_SENTENCE_END = re.compile(r"(?<=[.!?])\s(?=[A-Z(])|\n")
# A clause ends at a comma, colon or semicolon that belongs to no number.
_CLAUSE_END = re.compile(r"[,;:]\s(?=\S)")
_YES_NO = re.compile(r"\W{0,3}(?:so\W{1,2})?(?:yes|no|true|false)\b", re.IGNORECASE)
# One step of a least-to-most decomposition ("Q2. How many ...?" and its solution below), and the
# last one.
_STEP = re.compile(r"^(?:Q\d{1,3}\.|Final [Aa]nswer:)[ \t]{0,5}([^\n]{1,2000})\n", re.MULTILINE)


class ParsedReply(NamedTuple):
    """One reply taken apart: the reasoning, the text that gives the answer, and both as they were
    written."""

    rationale: str
    answer: str
    text: str
    finish_reason: str = "stop"
    apart: bool = True
    """True where the answer stands behind the rationale, and not at its end."""


def missing(value: Any) -> bool:
    """Return whether a value is an empty cell: None, "", or NaN and NaT, which alone differ from
    themselves."""
    return value is None or value == "" or bool(value != value)


def pick(row: Row, names: Sequence[str], meaning: str) -> Any:
    """Return the first of the fields `names` that is not missing.

    Raises:
        DataError: the row has none of them.
    """
    for name in names:
        if not missing(row.fields.get(name)):
            return row.fields[name]
    wanted = repr(names[0]) if len(names) == 1 else f"of {', '.join(names)}"
    if any(name in row.fields for name in names):
        raise DataError(f"{row.place}: {meaning} is empty; fill it in, or remove the row")
    raise DataError(
        f"{row.place}: no field {wanted} for the {meaning}; "
        f"it has {', '.join(map(str, row.fields))}: map one of these"
    )


def text_of(row: Row, names: Sequence[str], meaning: str) -> str:
    """Return the first of the fields `names` that is not missing, as text.

    Raises:
        DataError: the field is missing, empty, or no text.
    """
    text = as_text(pick(row, names, meaning), row.place, meaning).strip()
    if not text:
        raise DataError(f"{row.place}: {meaning} is empty; fill it in, or remove the row")
    return text


def optional(row: Row, names: Sequence[str], meaning: str) -> str:
    """Return the first of the fields `names` that is not missing as text, or ""."""
    found = (row.fields[name] for name in names if not missing(row.fields.get(name)))
    value = next(found, None)
    return "" if value is None else as_text(value, row.place, meaning).strip()


def as_text(value: Any, place: str, meaning: str) -> str:
    """Return a scalar or the joined parts of a chat's content as text: 2.0 as "2", truth values as
    yes and no.

    Raises:
        DataError: it is anything else, or an infinite number.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and isinf(value):  # 1e999 in JSON, or of a table
        raise DataError(f"{place}: {meaning} is an infinite number; correct it")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, Decimal):
        value = int(value) if value == int(value) else f"{value:f}"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and value and all(_is_part(part) for part in value):
        said = (part.get("text") for part in value if part.get("type") in _SAID)
        return "".join(text for text in said if isinstance(text, str))
    raise DataError(
        f"{place}: {meaning} is a {type(value).__name__}, not text; map another column to it, "
        "or write it as text"
    )


def _is_part(value: Any) -> bool:
    """Return whether a value is one part of a message's content (text, thinking, an image)."""
    return isinstance(value, Mapping) and ("type" in value or isinstance(value.get("text"), str))


def question_of(row: Row, column: str = "") -> str:
    """Return the question: a column, an instruction with its input, a chat's last user message, a
    sample's own.

    Raises:
        DataError: the row has none.
    """
    doc = row.fields.get("doc")
    if not column and isinstance(doc, Mapping):
        return question_of(Row(f"{row.place}: doc", doc))
    names = (column,) if column else ALIASES["question"]
    if not column and all(missing(row.fields.get(name)) for name in (*names, *_CHATS)):
        for name in ("request", "body"):  # a log of requests; the input of a batch
            if isinstance(sent := row.fields.get(name), Mapping):
                return question_of(Row(f"{row.place}: {name}", sent))
    chat = next((name for name in (*names, *_CHATS) if _is_chat(row.fields.get(name))), None)
    if chat is not None:
        said = _messages(row, chat)
        replied = [at for at, (role, one) in enumerate(said) if _replies(role, one)]
        # What stands behind the last reply is not what it answers.
        before = said[: replied[-1]] if replied else said
        asked = [one for role, one in before if role == "user"]
        if not asked:
            raise DataError(f"{row.place}: {chat}: needs a message of the user")
        return text_of(Row(row.place, asked[-1]), ("content", "value"), "question")
    text = text_of(row, names, "question")
    if row.fields.get("instruction") is not None and column in ("", "instruction"):
        # Alpaca's `input` is what the instruction is about; a file without instructions may call
        # its question so.
        added = optional(row, ("input",), "input") if "question" not in row.fields else ""
        text = f"{text}\n{added}" if added and added != text else text
    return text


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and ("role" in one or "from" in one) for one in value)
    )


def _messages(row: Row, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the messages of a chat with OpenAI's names of the roles."""
    roles = {"human": "user", "gpt": "assistant", "model": "assistant"}
    said = []
    for message in row.fields[name]:
        role = text_of(Row(row.place, message), ("role", "from"), "role")
        said.append((roles.get(role, role), message))
    return said


class Gold(NamedTuple):
    """A gold answer in canonical form, and the solution that stands before it."""

    canonical: str
    worked: str


def gold_of(text: str, answer_type: AnswerType, place: str, after: str = "") -> Gold:
    """Read gold as gold: the whole text, or what stands behind the last mark `after` (GSM8K's
    "####" by default).

    Raises:
        DataError: it is no answer of that type, or has no mark.
    """
    worked, mark, answer = text.rpartition(after) if after else ("", "", text)
    if after and not mark:
        raise DataError(f"{place}: answer: has no {after!r}; correct answer_after, or the row")
    canonical = answer_type.gold(answer.strip())
    if canonical is None and not after and "####" in text:
        worked, _, answer = text.rpartition("####")
        canonical = answer_type.gold(answer.strip())
    if canonical is None:
        name = type(answer_type).__module__.rpartition(".")[2]
        shown = answer.strip() if len(answer) <= 40 else f"{answer.strip()[:40]}…"
        remedy = (
            "correct it, or `answer`" if len(answer) <= 40 else "name the mark in `answer_after`"
        )
        raise DataError(f"{place}: answer: {shown!r} is no {name}; {remedy}")
    return Gold(canonical, worked.strip())


def chat_column(row: Row) -> str:
    """Return the column that holds a chat, "" where there is none."""
    return next((name for name in _CHATS if _is_chat(row.fields.get(name))), "")


def replies_of(row: Row, column: str = "") -> list[ParsedReply]:
    """Return the replies that a row records: one, a list of samples, or a chat's last one.

    Raises:
        DataError: the row has none, or one of them is no text.
    """
    finish = _finish(row.fields, "reasoning_finish_reason", *_ENDS)
    chain = row.fields.get("reasoning_completion", row.fields.get("chain"))
    if not column and isinstance(chain, str):
        # Two calls in fields of their own: the second reply, or what the first one is known to lead
        # to.
        answer = text_of(row, ("completion", "answer"), "answer")
        return [
            ParsedReply(
                chain.strip(), " " + answer, f"{chain.strip()} The answer is {answer}", finish
            )
        ]
    chat, names = _reply_fields(row, column)
    if chat:
        reply = _chat_reply(row, chat)
        return [reply if finish == "stop" else reply._replace(finish_reason=finish)]
    thinking = "" if column else _thinking(row)
    if not column and all(missing(row.fields.get(name)) for name in names):
        if isinstance(rationale := row.fields.get("rationale"), str):
            answer = text_of(row, ("answer",), "answer")
            return [ParsedReply(rationale.strip(), f" {answer}", rationale, finish)]
        names = ("answer", "content") if thinking else names
    second = row.fields.get("answer_completion")
    said = list(_samples(_given(row, names), row.place))
    ends = row.fields.get("finish_reasons")
    told = ends if isinstance(ends, list) and len(ends) == len(said) else ()
    ends = [_finish({"": end}, "") for end in told] or [finish] * len(said)
    made = []
    for one, end in zip(said, ends, strict=True):
        if REFUSED in (end, one.finish):
            made.append(_refused(one.text))
            continue
        apart = one.thinking or (thinking if len(said) == 1 else "")
        whole = isinstance(second, str)
        reply = _two_calls(one.text, str(second)) if whole else split_reply(one.text, apart)
        cut = "length" in (end, one.finish)
        made.append(reply._replace(finish_reason="length") if cut else reply)
    return made


def _finish(fields: Mapping[str, Any], *names: str) -> str:
    """Return "stop", "length" or REFUSED. A reply whose end has another name broke off: it is no
    more whole than one that a limit cut."""
    words = (fields[name] for name in names if isinstance(fields.get(name), str) and fields[name])
    return judged(next(words, "stop")) or "length"


def _refused(words: str) -> ParsedReply:
    """Return what stands for a reply that the model's vendor kept back."""
    return ParsedReply("", f"refused by the endpoint: {words}".strip(": "), words, REFUSED)


def texts_of(row: Row, column: str = "") -> list[str]:
    """Return the replies that a row records as they were written, thinking included.

    Raises:
        DataError: the row has none, or one of them is no text.
    """
    chat, names = _reply_fields(row, column)
    if chat:
        return [text_of(_last_reply(row, chat), ("content", "value"), "reply")]
    return [one.text for one in _samples(_given(row, names), row.place)]


def _reply_fields(row: Row, column: str) -> tuple[str, Sequence[str]]:
    """The chat whose last message is the reply, "" where a field of another form holds it, and
    those fields."""
    names = (column,) if column else ALIASES["completion"]
    if column:
        return column if _is_chat(row.fields.get(column)) else "", names
    return chat_column(row) if all(missing(row.fields.get(name)) for name in names) else "", names


def _given(row: Row, names: Sequence[str]) -> Any:
    """Return the first of the fields that is there; a reply may be empty."""
    written = (row.fields[name] for name in names if row.fields.get(name) == "")
    if all(missing(row.fields.get(name)) for name in names) and next(written, None) == "":
        return ""
    return pick(row, names, "completion")


class _Said(NamedTuple):
    text: str
    thinking: str = ""
    finish: str = "stop"


def _samples(value: Any, place: str, finish: str = "stop") -> Iterator[_Said]:
    """Yield the replies of a text, a list, a message, or what an endpoint or a batch sends back."""
    if isinstance(value, Mapping) and isinstance(value.get("choices"), list):
        if not value["choices"]:
            raise DataError(f"{place}: `choices` is empty; ask again, or remove the row")
        for choice in value["choices"]:
            fields = choice if isinstance(choice, Mapping) else {"message": choice}
            yield from _samples(fields.get("message", fields), place, _finish(fields, *_ENDS))
    elif isinstance(value, Mapping) and value.get("error"):
        raise DataError(f"{place}: an error in place of a reply; ask again, or remove the row")
    elif isinstance(value, Mapping) and isinstance(value.get("body"), Mapping):
        yield from _samples(value["body"], place)
    elif isinstance(value, Mapping) and isinstance(value.get("output"), list):
        details = value.get("incomplete_details")
        for one in _samples(value["output"], place):
            yield one._replace(finish=_finish(details, "reason")) if details else one
    elif isinstance(value, Mapping) and isinstance(value.get("refusal"), str) and value["refusal"]:
        yield _Said(value["refusal"], finish=REFUSED)
    elif isinstance(value, Mapping) and not missing(value.get("content", value.get("text"))):
        text = as_text(value.get("content", value.get("text")), place, "completion")
        end = finish if finish != "stop" else _finish(value, *_ENDS)
        yield _Said(text, _thinking(Row(place, value)), end)
    elif isinstance(value, Mapping) and finish == REFUSED:
        yield _Said("", finish=REFUSED)
    elif isinstance(value, list) and any(map(_is_item, value)):
        for one in filter(_is_item, value):  # beside them stand calls of tools, and thinking
            yield from _samples(one, place)
    elif isinstance(value, list) and not (value and all(_is_part(part) for part in value)):
        for one in value:
            yield from _samples(one, place)
    else:
        yield _Said(as_text(value, place, "completion"), finish=finish)


def _is_item(value: Any) -> bool:
    """Return whether a value is a message in the output of OpenAI's Responses."""
    return isinstance(value, Mapping) and value.get("type") == "message"


def _thinking(row: Row) -> str:
    """Return the thinking beside the text of a message or a row."""
    found = (row.fields[name] for name in _THINKING if isinstance(row.fields.get(name), str))
    apart = next(found, "").strip()
    parts = row.fields.get("content")
    for part in parts if isinstance(parts, list) else ():
        if part.get("type") == "thinking" and not missing(part.get("thinking")):
            apart += as_text(part["thinking"], row.place, "thinking")
    return apart


def _replies(role: str, message: Mapping[str, Any]) -> bool:
    """Return whether a message is a reply, and not the call of a tool."""
    calls = message.get("tool_calls") or message.get("function_call")
    return role == "assistant" and not calls


def _last_reply(row: Row, name: str) -> Row:
    said = _messages(row, name)
    replies = [one for role, one in said if _replies(role, one)]
    if not replies or said[-1][0] in ("tool", "function"):
        raise DataError(f"{row.place}: {name}: needs a user's question and an assistant's reply")
    return Row(row.place, replies[-1])


def _chat_reply(row: Row, name: str) -> ParsedReply:
    message = _last_reply(row, name)
    if isinstance(refusal := message.fields.get("refusal"), str) and refusal:
        return _refused(refusal)
    text = text_of(message, ("content", "value"), "reply")
    return split_reply(text, _thinking(message))


def chat_reply(row: Row, column: str) -> str:
    """Return the text of a chat's last reply where a column holds a chat, else ""."""
    return _chat_reply(row, column).text if _is_chat(row.fields.get(column)) else ""


def split_reply(text: str, thinking: str = "") -> ParsedReply:
    """Take a reply apart at its last answer sentence; a reply without one is a rationale as a
    whole.

    Sub-questions with their solutions ("Q1. ...") come out in the Socratic form, `sub-question **
    solution` a line.
    """
    thought, said = split_thinking(text)
    thinking = thinking or thought
    said = said.strip()
    if not said:
        return ParsedReply("", "", "", "length" if thinking else "stop")
    marks, apart = list(_CONCLUSION.finditer(said)), True
    if marks and len(said[marks[-1].end() :].split()) <= 40:
        rationale, answer = said[: marks[-1].start()].rstrip(), said[marks[-1].end() :].strip()
    elif len(said.split()) <= 1:
        rationale, answer = "", said
    else:
        rationale, answer, apart = said, _last_clause(said), False
    if thinking and len(said.split()) <= _SHORT_REPLY:
        rationale, apart = thinking.strip(), True
    rationale = _socratic(rationale, answer.strip(" ."))
    return ParsedReply(rationale, " " + answer.strip(), said, apart=apart)


def _last_clause(text: str) -> str:
    """Return what a text says last, which is where it says its result; a "yes" or "no" begins its
    sentence."""
    sentence = [one for one in _SENTENCE_END.split(text) if one.strip()][-1]
    return sentence if _YES_NO.match(sentence) else _CLAUSE_END.split(sentence)[-1]


def _two_calls(completion: str, answer: str) -> ParsedReply:
    """Take a reply of two calls apart: the rationale ends where the trigger of the second starts a
    line of its own."""
    body = completion.removeprefix("Let's think step by step.").rstrip()
    head = body.removesuffix(answer.rstrip()) if answer.strip() else body
    rationale, found, _ = head.rpartition("\nTherefore, ")
    return ParsedReply((rationale if found else head).strip(), answer, body)


def _socratic(rationale: str, answer: str) -> str:
    found = list(_STEP.finditer(rationale + "\n"))
    if not found or rationale[: found[0].start()].strip():
        return rationale
    ends = [step.start() for step in found[1:]] + [len(rationale)]
    steps = []
    for step, end in zip(found, ends, strict=True):
        solution = " ".join(rationale[step.end() : end].split())
        steps.append(f"{step[1].strip()} ** {solution or answer}")
    return "\n".join(steps)
