"""Every record that passes between stages, on one page: frozen, typed, JSON-able.

A run is a chain of these: a `Question` is put to a teacher, which returns `Completion`s; a method
makes `Rationale`s of them; filters keep some; a method makes training `Example`s of those; a
student answers questions with an `Answer`; comparing it with the gold answer gives a `Verdict`.

`to_json` and `from_json` are exact inverses. One question as a line of JSON:

    {"id": "word_problems/train/17", "text": "Ana has 3 apples ...", "answer": "11", "options": [],
     "context": "", "rationale": "Ana starts with 3 apples. ...", "steps": [{"question": "How ...",
     "solution": "3 + 8 = 11", "answer": "11"}], "meta": {"template": "fruit-2"}}
"""

import dataclasses
import string
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, Self, TypeAlias

from cotdistill.errors import DataError

NO_ANSWER: None = None
"""The result of `extract` for a text without an answer. It never equals a gold answer."""

BARE_WORDS = 6
"""A reply of at most so many words beside reasoning is an answer alone."""

REFUSED = "content_filter"
"""Finish reason of a completion that the endpoint refused for good; its text says why."""


class Record:
    """Base of the records: exact conversion to and from JSON-able dictionaries."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json.dumps` accepts, in the order of the fields' definition."""
        return {name: _plain(getattr(self, name)) for name in _field_types(type(self))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the record `to_json` was called on.

        Raises:
            ValueError: a field is missing or unknown (it is named), or the data is no mapping.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"{cls.__name__} is a mapping of fields, not {type(data).__name__}")
        kinds = _field_types(cls)
        if unknown := sorted(data.keys() - kinds.keys()):
            known = ", ".join(kinds)
            raise ValueError(f"{cls.__name__} has no field {unknown[0]!r}; it has {known}")
        try:
            return cls(**{name: _restore(value, kinds[name]) for name, value in data.items()})
        except TypeError as error:
            raise ValueError(f"{cls.__name__}: {error}") from error


_TYPES: dict[type[Any], dict[str, Any]] = {}
"""Field types by class: a record is made for every completion, and its class never changes."""


def _field_types(cls: type[Any]) -> dict[str, Any]:
    if cls not in _TYPES:
        hints = typing.get_type_hints(cls)
        _TYPES[cls] = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    return _TYPES[cls]


_SIMPLE = (str, int, float, type(None))  # nearly all values; `Mapping` is slow to look for
_AS_THEY_ARE = {str, int, float, bool, str | None, int | None, float | None}
"""Types of fields whose values JSON gives as they are; nearly all fields have one of them."""


def _plain(value: Any) -> Any:
    if isinstance(value, _SIMPLE):
        return value
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _restore(value: Any, kind: Any) -> Any:
    """Return a JSON value in the type of a field: lists become tuples, mappings records."""
    if kind in _AS_THEY_ARE:
        return value
    if isinstance(value, list):
        options = (kind, *typing.get_args(kind))  # of a union too
        tuples = [typing.get_args(one) for one in options if typing.get_origin(one) is tuple]
        return tuple(_restore(item, tuples[0][0]) for item in value) if tuples else value
    if isinstance(kind, type) and issubclass(kind, Record) and isinstance(value, Mapping):
        return kind.from_json(value)
    return kind(value) if isinstance(kind, type) and issubclass(kind, StrEnum) else value


@dataclass(frozen=True, slots=True)
class Step(Record):
    """One step of a decomposed solution (Socratic CoT, section 3)."""

    question: str
    solution: str
    answer: str


@dataclass(frozen=True, slots=True)
class Question(Record):
    """One item of a task.

    `answer` is gold, in the task's answer type (an option letter for a multiple-choice question).
    `options` are the option texts in order; the first is (A). `rationale` and `steps` are gold
    where the data set has them.
    """

    id: str
    text: str
    answer: str | None = None
    options: tuple[str, ...] = ()
    context: str = ""
    rationale: str = ""
    steps: tuple[Step, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict, hash=False, compare=True)

    @property
    def block(self) -> str:
        """The question as prompts show it: its text, then its context and options, a line each."""
        context = f"\nContext: {self.context}" if self.context else ""
        options = f"\n{options_line(self.options)}" if self.options else ""
        return f"{self.text}{context}{options}"

    @property
    def gold(self) -> str:
        """The gold answer as prompts write it: an option's letter in parentheses, else as it is.

        Raises:
            DataError: the question has no gold answer.
        """
        if self.answer is None:
            raise DataError(f"question {self.id} has no gold answer, and this method needs one")
        return f"({self.answer})" if self.options else self.answer

    def learnt_from(self, rationale: "Rationale") -> Self:
        """Return the question as it is learnt: one without a gold answer takes the rationale's."""
        return self if self.answer is not None else replace(self, answer=rationale.answer)

    @property
    def same_text(self) -> str:
        """Return text and context in lower case: the same for questions that read the same."""
        return " ".join(f"{self.text}\n{self.context}".casefold().split())


def options_line(options: Sequence[str]) -> str:
    """Return the options on one line: "Options: (A) red (B) blue"."""
    lettered = zip(string.ascii_uppercase[: len(options)], options, strict=True)
    return " ".join(["Options:", *(f"({letter}) {option}" for letter, option in lettered)])


@dataclass(frozen=True, slots=True)
class Message(Record):
    """One message of a chat prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


Prompt: TypeAlias = str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Request(Record):
    """Everything a caller decides about one completion; with the model's identity it keys the log.

    `prefill` is text the answer must start with: it is part of the returned text and costs no
    sampling. `stop` strings end the completion and are not part of its text. `samples` is not here:
    sample i of a request is the same completion whether two or two hundred are asked for.
    """

    prompt: Prompt
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    prefill: str = ""


@dataclass(frozen=True, slots=True)
class Completion(Record):
    """A model's text for one sample of one request, kept for good.

    `text` includes the prefill. `reasoning` is what a thinking model wrote apart from its reply.
    `finish_reason` is "stop", "length", or the endpoint's own word. `key` is the fingerprint of
    model and request ("" where nothing is logged). `logprob` is the mean log-probability per
    generated token in nats, where the model reports it.
    """

    text: str
    sample_index: int = 0
    reasoning: str = ""
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    logprob: float | None = None
    key: str = ""

    @property
    def is_bare(self) -> bool:
        """Return whether the text is the answer alone, with the rationale in the reasoning."""
        return bool(self.reasoning) and 0 < len(self.text.split()) <= BARE_WORDS

    @property
    def rationale(self) -> str:
        """Return the text, or the reasoning beside a text that is the answer alone."""
        return self.reasoning if self.is_bare else self.text


@dataclass(frozen=True, slots=True)
class Rationale(Record):
    """One candidate solution of a question, as a method made it of the teacher's completions.

    `answer` is what the rationale concludes, extracted, or NO_ANSWER. `text` is the reasoning
    without the answer sentence. `steps` are filled by methods that decompose. `source` is
    "teacher", "gold", "student" or "none". `keys` are the fingerprints of the completions it was
    made of. `extra` is a method's own (JSON-able) data.
    """

    question_id: str
    text: str
    answer: str | None
    sample_index: int = 0
    source: str = "teacher"
    steps: tuple[Step, ...] = ()
    keys: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Example(Record):
    """One training example for one role; `weight` scales its loss.

    `extra` holds what an objective needs besides (JSON-able): "rejected", a target to prefer
    `target` over; a teacher's log-probabilities.
    """

    role: str
    prompt: str
    target: str
    weight: float = 1.0
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Answer(Record):
    """The answer to one question (extracted, or NO_ANSWER) and the whole text that led to it.

    `trace` holds one entry per ask: {"role", "prompt", "text"}. `votes` are the answers a voting
    strategy saw. Tokens are summed over all asks of the question; `guide_tokens` counts those a
    guide wrote.
    """

    question_id: str
    answer: str | None
    text: str
    trace: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    votes: tuple[str | None, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    guide_tokens: int = 0


class Verdict(StrEnum):
    """The verdict on one answer. NO_ANSWER is not WRONG, and a grader's own failure is neither."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    ERROR = "error"
