# ruff: noqa: N803, N806 - tensor names carry their shape
"""The decoding loop: greedy or sampled, per row, over whatever rows there are at the moment.

Rows wait sorted by prompt length, join as soon as a quarter of the places is free (where the
model's cache allows it), and leave when they finish.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from cotdistill.checkpoints.loading import context_limit, end_ids
from cotdistill.checkpoints.text import GrowingText, TextCodec, token_count
from cotdistill.contracts import TokenRule
from cotdistill.engines._running import runner_for
from cotdistill.engines._sampling import choose, random_numbers
from cotdistill.errors import QuestionFailed
from cotdistill.records import Completion, Request

_PATIENCE = 8
"""Steps for which a few waiting rows let others gather before they join a running batch."""
_OVERTAKEN = 8
"""Batches of rows whose beginning is kept that may overtake a waiting one."""
_PADDING = 48
"""Tokens of padding that cost less than another forward pass."""


@dataclass
class DecodingRow:
    """One completion in the making. `context` are the tokens its text is read after; `lead` is the
    text it begins with.
    """

    slot: int
    request: Request
    sample_index: int
    prompt: tuple[int, ...]
    limit: int
    lead: str
    drop: str
    context: list[int]
    forced: deque[int]
    heal: bool
    prompt_tokens: int
    tokens: list[int] = field(default_factory=list)
    uniforms: list[float] = field(default_factory=list)
    logprob: float = 0.0
    scored: int = 0
    growing: GrowingText | None = None
    listener: Callable[[str], None] | None = None
    heard: int = 0
    done: bool = False
    known: int = 0
    """Number of its prompt's first tokens that need not be computed."""
    overtaken: int = 0
    given: int = 0
    """Number of its first tokens that are the caller's prefill; they do not count as generated."""

    @property
    def made(self) -> int:
        return len(self.tokens) - self.given


class Decoder:
    """Rows waiting and rows running on one model; `step` moves all running rows one token on."""

    def __init__(
        self,
        model: Any,
        codec: TextCodec,
        batch_size: int,
        max_batch_tokens: int,
        rules: Sequence[TokenRule] = (),
    ) -> None:
        self._runner, self._codec, self._rules = runner_for(model), codec, rules
        ends = tuple(end for rule in rules for end in rule.ends)
        everywhere = any(not rule.ends for rule in rules)
        self._look_after = None if everywhere else codec.tokens_before(ends)
        self._end_ids, self._context_limit = (
            end_ids(model, codec.tokenizer),
            context_limit(model.config),
        )
        self._size = token_count(codec.tokenizer)
        self._batch_size, self._max_batch_tokens = batch_size, max_batch_tokens
        self._waiting: deque[DecodingRow] = deque()
        self._refused: list[tuple[int, QuestionFailed]] = []
        self._running: list[DecodingRow] = []
        self._steps_waited = 0
        self._space_V: torch.Tensor | None = None

    @property
    def busy(self) -> bool:
        """Return whether any row waits or runs."""
        return bool(self._waiting or self._running or self._refused)

    def add(self, batch: Sequence[tuple[int, Request, int]]) -> None:
        """Add rows: (slot, request, sample index). Nothing is computed yet, so a refused row costs
        nothing.
        """
        asked = {request.prompt for _, request, _ in batch}
        prompts = {prompt: self._codec.prompt_ids(prompt) for prompt in asked}
        new = list[DecodingRow]()
        for slot, request, index in batch:
            try:
                row = self._row(slot, request, index, prompts[request.prompt])
                row.known = self._runner.kept.known(row.prompt)
                new.append(row)
            except QuestionFailed as error:
                self._refused.append((slot, error))
        # Of those added together the longest go first, and equal prompts together. Who was added
        # before goes before them all: a short prompt would wait for ever where others keep coming.
        # Only those that go on from a kept row overtake, while it is kept; others are overtaken by
        # so many at most.
        new.sort(key=lambda row: (-len(row.prompt), row.prompt))
        overtaking, most = sum(row.known > 0 for row in new), _OVERTAKEN * self._batch_size
        for row in self._waiting:
            row.overtaken += overtaking
        first = [*self._waiting, *new]
        first.sort(key=lambda row: not row.known and row.overtaken < most)
        self._waiting = deque(first)

    @torch.inference_mode()
    def drop(self, rows: Collection[int]) -> None:
        """Drop rows, by slot, that nobody waits for."""
        self._waiting = deque(row for row in self._waiting if row.slot not in rows)
        self._refused = [one for one in self._refused if one[0] not in rows]
        for row in self._running:
            row.done = row.slot in rows
        self._drop_finished()

    def listen(self, slot: int, listener: Callable[[str], None]) -> None:
        """Have a row that was just added heard as it is written."""
        for row in (row for row in self._waiting if row.slot == slot):
            row.listener = listener
            if row.growing is None:
                row.growing = GrowingText(self._codec, [*row.context, *row.forced], row.lead)

    @torch.inference_mode()
    def step(self) -> list[tuple[int, Completion | QuestionFailed]]:
        """Move every running row one token on, after letting waiting rows join; return what
        finished, by slot.
        """
        done: list[tuple[int, Completion | QuestionFailed]] = [*self._refused, *self._admit()]
        self._refused.clear()
        if self._running:
            logits_BV = self._runner.step([row.tokens[-1] for row in self._running])
            done += self._advance(self._running, logits_BV)
            self._drop_finished()
        return done

    def _drop_finished(self) -> None:
        """Drop finished rows; the last rows that go on take their places, so that few have to be
        moved.
        """
        live = [place for place, row in enumerate(self._running) if not row.done]
        if len(live) == len(self._running):
            return
        last = iter(live[::-1])
        order = [next(last) if self._running[place].done else place for place in range(len(live))]
        self._running = [self._running[place] for place in order]
        self._limit_kept()
        self._runner.keep(order)

    def _limit_kept(self) -> None:
        """Keep what has left in the memory that is not needed by what runs."""
        self._runner.kept.limit(self._max_batch_tokens - self._used)

    @property
    def _used(self) -> int:
        return sum(len(row.prompt) + row.limit for row in self._running)

    def _admit(self) -> list[tuple[int, Completion]]:
        if not self._waiting or (self._running and not self._runner.joins):
            return []
        # One forward pass for a few rows costs as much as one for many, so newcomers gather for
        # some steps.
        self._steps_waited += 1
        live = len(self._running)
        few = len(self._waiting) < live // 4 and self._steps_waited < _PATIENCE
        if live and (few or live > self._batch_size * 3 // 4):
            return []
        self._steps_waited = 0
        used = self._used
        joining: list[DecodingRow] = []
        longest = 0
        while self._waiting and len(self._running) + len(joining) < self._batch_size:
            longest = max(longest, len(self._waiting[0].prompt))
            width = longest + self._waiting[0].limit
            if (self._running or joining) and used + width > self._max_batch_tokens:
                break
            used += width
            joining.append(self._waiting.popleft())
        if not joining:
            return []
        for row in joining:
            row.known = self._runner.kept.known(row.prompt)
        done = [finished for group in self._alike(joining) for finished in self._start(group)]
        self._limit_kept()
        self._drop_finished()
        return done

    def _alike(self, rows: Sequence[DecodingRow]) -> list[list[DecodingRow]]:
        """Group rows of which similar numbers of tokens are computed; samples of one prompt are
        always together.
        """
        if not self._runner.joins:
            return [list(rows)]
        groups: list[list[DecodingRow]] = []
        count = used = 0
        for row in sorted(rows, key=lambda row: (len(row.prompt) - row.known, row.prompt)):
            width = len(row.prompt) - row.known
            if not groups or groups[-1][-1].prompt != row.prompt:
                count, used = count + 1, used + width
            if groups and count * width - used <= max(_PADDING, count * width // 8):
                groups[-1].append(row)
            else:
                groups.append([row])
                count, used = 1, width
        return groups

    def _start(self, joining: list[DecodingRow]) -> list[tuple[int, Completion]]:
        logits_NV = self._runner.admit([row.prompt for row in joining])
        for row in joining:
            if row.request.temperature > 0:
                row.uniforms = random_numbers(row.request, row.sample_index, row.limit + 1)
        self._running += joining
        return self._advance(joining, logits_NV)

    def _advance(
        self, rows: list[DecodingRow], logits_BV: torch.Tensor
    ) -> list[tuple[int, Completion]]:
        size = self._size
        logits_BV[:, size:] = -torch.inf  # rows that only pad the embedding to a round number
        for place, row in enumerate(rows):
            if row.heal and row.made == 0 and not row.forced:
                logits_BV[place, :size].masked_fill_(~self._spaces(logits_BV), -torch.inf)
        free = [0.0 if row.forced else row.request.temperature for row in rows]
        drawn = zip(rows, free, strict=True)
        uniforms = [row.uniforms[row.made] if heat > 0 else 0.0 for row, heat in drawn]
        tokens, logprobs = choose(logits_BV, free, [row.request.top_p for row in rows], uniforms)
        finished = []
        for row, token, logprob in zip(rows, tokens, logprobs, strict=True):
            reason = self._take(row, token, logprob)
            if reason is not None:
                row.done = True
                finished.append((row.slot, self._completion(row, reason)))
        return finished

    def _take(self, row: DecodingRow, token: int, logprob: float) -> str | None:
        """Give a row its next token; return why it finished, or None."""
        if row.forced:
            token = row.forced.popleft()
        else:
            row.logprob += logprob
            row.scored += 1
        row.tokens.append(token)
        if row.made <= 0:
            return None
        if token in self._end_ids:
            return "stop"
        if row.growing is not None:
            before, lead = len(row.growing.text), len(row.lead)
            text = row.growing.add(token)
            starts = ((stop, max(lead, before - len(stop) + 1)) for stop in row.request.stop)
            if any(text.find(stop, start) >= 0 for stop, start in starts):
                return "stop"
            if row.listener is not None:
                _speak(row, text)
        near = self._look_after is None or token in self._look_after
        if self._rules and not row.forced and near:
            self._apply_rules(row)
        return "length" if row.made >= row.limit else None

    def _apply_rules(self, row: DecodingRow) -> None:
        text = self._text(row, row.tokens)
        for rule in self._rules:
            forced = rule.forced(text.removeprefix(row.drop))
            if forced:
                row.forced.extend(self._codec.continuation_ids(text, forced))
                return

    def _completion(self, row: DecodingRow, reason: str) -> Completion:
        ended = bool(row.tokens) and row.tokens[-1] in self._end_ids
        text = self._text(row, row.tokens[:-1] if ended else row.tokens)
        found = (text.find(stop, len(row.lead)) for stop in row.request.stop)
        text = text[: min((place for place in found if place >= 0), default=None)]
        return Completion(
            text=text.removeprefix(row.drop),
            sample_index=row.sample_index,
            finish_reason=reason,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.made,
            logprob=round(row.logprob / row.scored, 5) if row.scored else None,
        )

    def _text(self, row: DecodingRow, tokens: list[int]) -> str:
        context = [*row.context, *tokens[: row.given]]
        return row.lead + self._codec.after(context, tokens[row.given :])

    def _row(
        self, slot: int, request: Request, sample_index: int, prompt: list[int]
    ) -> DecodingRow:
        codec = self._codec
        prefill = codec.open_end(request.prefill)
        heal = prefill != request.prefill
        given = codec.target_ids(request.prompt, prefill) if prefill else []
        limit = request.max_tokens
        if self._context_limit is not None:
            room = self._context_limit - (0 if codec.encoder_decoder else len(prompt)) - len(given)
            if room < 1 or len(prompt) > self._context_limit:
                raise codec.too_long(request.prompt, len(prompt) + len(given), self._context_limit)
            limit = min(limit, room)
        row = DecodingRow(
            slot=slot,
            request=request,
            sample_index=sample_index,
            prompt=tuple(prompt if codec.encoder_decoder else [*prompt, *given]),
            limit=limit,
            lead=prefill,
            drop="" if prefill or codec.encoder_decoder else codec.target_lead(request.prompt),
            context=[] if codec.encoder_decoder else [*prompt, *given],
            forced=deque(given if codec.encoder_decoder else ()),
            heal=heal,
            prompt_tokens=len(prompt) + len(given),
            given=len(given) if codec.encoder_decoder else 0,
        )
        if request.stop:
            row.growing = GrowingText(codec, [*row.context, *row.forced], prefill)
        return row

    def _spaces(self, like: torch.Tensor) -> Any:
        if self._space_V is None:
            self._space_V = torch.tensor(self._codec.space_tokens, device=like.device)
        return self._space_V


def _speak(row: DecodingRow, text: str) -> None:
    """Let a row's listener hear what is sure to stay: a stop string may begin in the last part."""
    unsure = max((len(stop) - 1 for stop in row.request.stop), default=0)
    begin = row.heard + (len(row.drop) if text.startswith(row.drop) else 0)
    new = text[begin : len(text) - unsure]
    if new and len(text) >= len(row.drop) and row.listener is not None:
        row.heard += len(new)
        row.listener(new)
