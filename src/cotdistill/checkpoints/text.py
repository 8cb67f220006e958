"""Between text and tokens, for every family of tokenizer: prompts, continuations with exact
spacing, growing text.

A continuation is tokenised apart from the prompt before it (so that training and answering cut at
the same place), but with the prompt's last word as an anchor, because SentencePiece tokenizers
write a leading space into the first token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cotdistill.errors import FatalTeacherError, QuestionFailed
from cotdistill.records import Prompt

_ANCHOR_TOKENS = 4
"""Prompt tokens shown to the decoder before a completion's tokens, so that its first space
survives.
"""
_UNFINISHED = "�"
"""A byte-level decoder's mark for a character whose last bytes are still to come."""


def token_count(tokenizer: Any) -> int:
    """Return how many rows of a matrix a tokenizer's ids need: ids may leave gaps, so that the
    largest can be above the number of tokens.
    """
    return max(len(tokenizer), 1 + max(tokenizer.get_vocab().values(), default=0))


@dataclass(frozen=True)
class TextCodec:
    """A tokenizer with a student's format: what ends a prompt, what begins a target, and whether
    prompts are chats.
    """

    tokenizer: Any
    prompt_end: str = ""
    target_begin: str = ""
    chat: bool = False
    encoder_decoder: bool = False

    def prompt_text(self, prompt: Prompt) -> str:
        """Return the prompt as the model reads it, before tokenisation.

        Raises:
            FatalTeacherError: a chat prompt for a tokenizer that has no chat template.
        """
        if isinstance(prompt, str) and not self.chat:
            return prompt + self.prompt_end
        if self.tokenizer.chat_template is None:
            raise FatalTeacherError(
                f"{self.tokenizer.name_or_path or 'the model'} has no chat template: "
                "ask it with plain text (chat: false)"
            )
        turns = (
            [("user", prompt)] if isinstance(prompt, str) else [(m.role, m.content) for m in prompt]
        )
        messages = [{"role": role, "content": content} for role, content in turns]
        text: str = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return text

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Return the token ids of a whole prompt, with the special tokens the model's family puts
        around it and no end token where a completion follows."""
        plain = isinstance(prompt, str) and not self.chat
        ids: list[int] = self.tokenizer(
            self.prompt_text(prompt), add_special_tokens=plain, verbose=False
        )["input_ids"]
        if not self.encoder_decoder:
            while ids and ids[-1] == self.tokenizer.eos_token_id and len(ids) > 1:
                ids = ids[:-1]
            if not ids:
                ids = [self._start_id]
        return ids

    @staticmethod
    def open_end(prefill: str) -> str:
        """Return a prefill without its last space: most tokenizers write it into the next word, so
        the model chooses that token.
        """
        single = prefill.endswith(" ") and not prefill.endswith("  ") and prefill != " "
        return prefill[:-1] if single else prefill

    def too_long(self, prompt: Prompt, tokens: int, limit: int) -> QuestionFailed:
        """Return the failure of a prompt (with its prefill) that leaves no room in a model's
        context.
        """
        return QuestionFailed(
            f"a prompt of {tokens} tokens leaves no room in the model's {limit}: "
            "shorten it, ask with fewer exemplars, or use a model with a longer context "
            f"(it begins {self.prompt_text(prompt)[:60]!r})",
            reason="prompt too long",
        )

    def target_lead(self, prompt: Prompt) -> str:
        """Return what stands between prompt and target: the format's `target_begin`, but no second
        white space.
        """
        text = self.prompt_text(prompt)
        return "" if self.target_begin.isspace() and text[-1:].isspace() else self.target_begin

    def target_ids(self, prompt: Prompt, target: str) -> list[int]:
        """Return the token ids of what follows the prompt, `target_begin` in front, without an end
        token.
        """
        if self.encoder_decoder:
            return self.continuation_ids("", self.target_begin + target)
        return self.continuation_ids(self.prompt_text(prompt), self.target_lead(prompt) + target)

    def continuation_ids(self, before: str, text: str) -> list[int]:
        """Return the token ids of `text` where it follows `before`, without special tokens.

        The ids are those of `text` apart from `before`, except that the space a SentencePiece
        tokenizer would add to the beginning is not added.
        """
        alone = self._encode(text)
        anchor = before[-24:].rsplit(maxsplit=1)[-1] if before.strip() else ""
        if not anchor or not self._adds_space:
            return alone
        ids, prefix = self._encode(anchor + text), self._encode(anchor)
        return ids[len(prefix) :] if ids[: len(prefix)] == prefix else alone

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids without special tokens, nothing tidied up."""
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def after(self, context: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text of `ids` where they follow `context`."""
        context = self.anchor(context)
        return self.decode([*context, *ids])[len(self.decode(context)) :]

    def anchor(self, context: Sequence[int]) -> list[int]:
        """Return the last few tokens of a context that have text."""
        return [token for token in context[-2 * _ANCHOR_TOKENS :] if token not in self.special][
            -_ANCHOR_TOKENS:
        ]

    @cached_property
    def special(self) -> frozenset[int]:
        """Token ids that are no text."""
        return frozenset(self.tokenizer.all_special_ids)

    @cached_property
    def space_tokens(self) -> list[bool]:
        """Return for every token id: does its text begin with a space (in the middle of a text)?"""
        marks = ("Ġ", "▁", " ")
        tokens = self.tokenizer.convert_ids_to_tokens(list(range(token_count(self.tokenizer))))
        return [isinstance(token, str) and token.startswith(marks) for token in tokens]

    def tokens_before(self, ends: tuple[str, ...]) -> frozenset[int]:
        """Token ids after which a text may end in one of `ends`: all others cannot be its last."""
        if ends not in self._tokens_before:
            beginnings = {end[place:] for end in ends for place in range(len(end))}
            tokens = self.tokenizer.convert_ids_to_tokens(list(range(token_count(self.tokenizer))))
            found = set[int]()
            for token, piece in enumerate(tokens):
                text = piece.replace("Ġ", " ").replace("▁", " ") if isinstance(piece, str) else ""
                # Bytes that SentencePiece writes as <0x3D> may be anything.
                if not text or text.endswith(ends) or text in beginnings or text.startswith("<0x"):
                    found.add(token)
            self._tokens_before[ends] = frozenset(found)
        return self._tokens_before[ends]

    @cached_property
    def _tokens_before(self) -> dict[tuple[str, ...], frozenset[int]]:
        return {}

    def _encode(self, text: str) -> list[int]:
        encode = self.tokenizer
        return encode(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []

    @cached_property
    def _adds_space(self) -> bool:
        return self._encode("a") == self._encode(" a")

    @property
    def _start_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if bos is None else bos)


class GrowingText:
    """The text of one completion while its tokens arrive; each token costs a decoding of a few
    tokens only.

    Characters whose bytes are spread over several tokens appear once they are complete.
    """

    def __init__(self, codec: TextCodec, context: Sequence[int], text: str) -> None:
        self.text = text
        self._codec = codec
        self._pending: list[int] = []
        self._context = codec.anchor(context)
        self._context_text = codec.decode(self._context)

    def add(self, token: int) -> str:
        """Return the text with one more token."""
        if token in self._codec.special:
            return self.text
        self._pending.append(token)
        whole = self._codec.decode([*self._context, *self._pending])
        new = whole[len(self._context_text) :]
        if new and not new.endswith(_UNFINISHED):
            self.text += new
            self._context = [*self._context, *self._pending][-_ANCHOR_TOKENS:]
            self._context_text = self._codec.decode(self._context)
            self._pending = []
        return self.text
