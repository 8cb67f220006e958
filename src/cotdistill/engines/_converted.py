"""The works of the engine `ctranslate2`: checkpoints converted once, and rows they answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import ctranslate2
import torch

from cotdistill.checkpoints.conversions import converted
from cotdistill.checkpoints.ctranslate2 import write_ctranslate2
from cotdistill.checkpoints.loading import end_ids, load_checkpoint, resolve
from cotdistill.checkpoints.text import GrowingText, TextCodec
from cotdistill.errors import QuestionFailed
from cotdistill.records import Completion, Request
from cotdistill.util.files import read_json, write_json

_FORMAT = 1
"""Raise it when a checkpoint has to be converted again because the conversion changed."""


def convert_once(checkpoint: str | Path, fingerprint: str, dtype: str) -> tuple[Path, list[int]]:
    """Return the folder of a converted checkpoint and the tokens that end its completions.

    Raises:
        UserError: the checkpoint cannot be used, or CTranslate2 does not know its architecture.
    """

    def convert(folder: Path) -> None:
        model, tokenizer = load_checkpoint(checkpoint, torch.float32)
        write_ctranslate2(model, tokenizer, resolve(checkpoint), folder, dtype)
        write_json(folder / "ends.json", sorted(end_ids(model, tokenizer)))

    versions = f"{ctranslate2.__version__}-{_FORMAT}"
    name = f"{fingerprint.replace('/', '-')}-{dtype}-{versions}"
    folder = converted("ctranslate2", name, convert)
    return folder, read_json(folder / "ends.json")


@dataclass
class _ConvertedRow:
    """A request's tokens: its text is read after `before` and begins with `lead`."""

    request: Request
    index: int
    prompt: list[int]
    before: list[int]
    lead: str
    limit: int
    prompt_tokens: int
    growing: GrowingText | None

    def stops(self, token: int) -> bool:
        """Take the next token and return whether the text now holds what it is to stop at."""
        assert self.growing is not None
        text = self.growing.add(token)
        return any(text.find(stop, len(self.lead)) >= 0 for stop in self.request.stop)


class ConvertedModel:
    """A converted model behind the batcher.

    `load` takes the threads of a batch and the number of workers, each with a batch of its own.
    """

    def __init__(
        self,
        load: Callable[[int, int], Any],
        threads: int,
        codec: TextCodec,
        context: int | None,
        ends: Sequence[int],
        batch_size: int,
        identity: Mapping[str, Any],
    ) -> None:
        self._threads, self._codec, self._context = threads, codec, context
        self._ends, self._batch_size, self._identity = list(ends), batch_size, identity
        self._one = cache(partial(load, threads, 1))
        self._workers = cache(partial(load, 1, threads))
        self._workers()  # what cannot be loaded is told at once

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def generate(self, batch: Sequence[tuple[Request, int]]) -> list[Completion | QuestionFailed]:
        """Return what comes of each (request, sample index), in order."""
        results: dict[int, Completion | QuestionFailed] = {}
        alike: dict[tuple[Any, ...], list[int]] = {}
        rows = dict[int, _ConvertedRow]()
        for place, (request, index) in enumerate(batch):
            try:
                rows[place] = self._row(request, index)
            except QuestionFailed as error:
                results[place] = error
                continue
            row = rows[place]
            given = len(row.before) if self._codec.encoder_decoder else 0
            key = (request.temperature, request.top_p, row.limit, bool(request.stop), given)
            alike.setdefault(key, []).append(place)
        for places in alike.values():
            # Rows of a batch are padded, so the longest stand together.
            places.sort(key=lambda place: -len(rows[place].prompt))
            made = self._answer([rows[place] for place in places])
            results |= dict(zip(places, made, strict=True))
        return [results[place] for place in range(len(batch))]

    def _row(self, request: Request, index: int) -> _ConvertedRow:
        codec, limit = self._codec, request.max_tokens
        lead, prompt = codec.open_end(request.prefill), codec.prompt_ids(request.prompt)
        given = codec.target_ids(request.prompt, lead) if lead else []
        tokens = len(prompt) + len(given)
        before = given if codec.encoder_decoder else [*prompt, *given]
        if self._context is not None:
            room = self._context - len(before)
            if room < 1 or len(prompt) > self._context:
                raise codec.too_long(request.prompt, tokens, self._context)
            limit = min(limit, room)
        growing = GrowingText(codec, before, lead) if request.stop else None
        return _ConvertedRow(request, index, prompt, before, lead, limit, tokens, growing)

    def _answer(self, rows: Sequence[_ConvertedRow]) -> list[Completion]:
        first = rows[0]
        # Workers wait for nobody, threads of one batch for one another after each of many small
        # products. But each worker would draw the same random numbers as the others.
        apart = self._threads > 1 and not first.request.temperature and len(rows) >= self._threads
        each = -(-len(rows) // self._threads) if apart else len(rows)
        options: dict[str, Any] = {
            "max_batch_size": min(self._batch_size, each),
            "beam_size": 1,
            "end_token": self._ends,
            "return_end_token": True,
            "return_scores": True,
            "length_penalty": 0.0,  # scores stay sums
        }
        if first.request.temperature > 0:
            options |= {"sampling_topk": 0, "sampling_topp": first.request.top_p}
            options["sampling_temperature"] = first.request.temperature
        if first.request.stop:
            options["callback"] = lambda step: rows[step.batch_id].stops(step.token_id)
        two_parts = self._codec.encoder_decoder
        model = self._workers() if apart or self._threads == 1 else self._one()
        results = (self._translate if two_parts else self._continue)(model, rows, options)
        return [self._completion(row, *one) for row, one in zip(rows, results, strict=True)]

    def _continue(
        self, model: Any, rows: Sequence[_ConvertedRow], options: dict[str, Any]
    ) -> list[tuple[list[int], float]]:
        words = self._codec.tokenizer.convert_ids_to_tokens
        results = model.generate_batch(
            [words(row.before) for row in rows],
            max_length=rows[0].limit,
            include_prompt_in_result=False,
            **options,
        )
        return [(one.sequences_ids[0], one.scores[0]) for one in results]

    def _translate(
        self, model: Any, rows: Sequence[_ConvertedRow], options: dict[str, Any]
    ) -> list[tuple[list[int], float]]:
        words = self._codec.tokenizer.convert_ids_to_tokens
        given = len(rows[0].before)
        results = model.translate_batch(
            [words(row.prompt) for row in rows],
            [words(row.before) for row in rows] if given else None,
            max_decoding_length=rows[0].limit + given,
            max_input_length=0,
            **options,
        )
        ids = self._codec.tokenizer.convert_tokens_to_ids
        return [(ids(one.hypotheses[0])[given:], one.scores[0]) for one in results]

    def _completion(self, row: _ConvertedRow, made: list[int], score: float) -> Completion:
        codec, request = self._codec, row.request
        ended = bool(made) and made[-1] in self._ends
        text = row.lead + codec.after(row.before, made[:-1] if ended else made)
        found = [text.find(stop, len(row.lead)) for stop in request.stop]
        places = [place for place in found if place >= 0]
        drop = "" if row.lead or codec.encoder_decoder else codec.target_lead(request.prompt)
        return Completion(
            text=text[: min(places, default=None)].removeprefix(drop),
            sample_index=row.index,
            finish_reason="stop" if ended or places else "length",
            prompt_tokens=row.prompt_tokens,
            completion_tokens=len(made),
            logprob=round(score / len(made), 5) if made and not request.temperature else None,
        )
