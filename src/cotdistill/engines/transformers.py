"""Answer with a transformers checkpoint, causal or encoder-decoder, in our own batched decoding
loop.

The model's forward pass and its cache are transformers'; the loop is ours (`_decoding`), because
`generate` keeps finished rows, draws all rows from one random stream, computes a prompt again for
each sample and cannot let waiting questions join. A row's completion does not depend on its
neighbours: a batch answers as its items alone do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from cotdistill.contracts import Engine, EnginePlugin, TokenRule
from cotdistill.errors import QuestionFailed
from cotdistill.records import Completion, Request

if TYPE_CHECKING:
    from cotdistill.checkpoints.text import TextCodec
    from cotdistill.engines._decoding import Decoder


class ModelEngine:
    """A model in memory that completes batches; what `TransformersEngine.load` returns.

    Also made directly over a model in training, to measure its accuracy between epochs.
    """

    def __init__(
        self,
        model: Any,
        codec: TextCodec,
        identity: Mapping[str, Any],
        batch_size: int = 128,
        max_batch_tokens: int = 65_536,
    ) -> None:
        self.model, self.codec, self._identity = model, codec, dict(identity)
        self._sizes = (batch_size, max_batch_tokens)

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def decoding(self, rules: Sequence[TokenRule] = ()) -> Decoder:
        """Return a decoding loop that rows can be added to while it runs; the batcher drives it."""
        from cotdistill.engines._decoding import Decoder

        return Decoder(self.model, self.codec, *self._sizes, rules)

    def generate(
        self, batch: Sequence[tuple[Request, int]], rules: Sequence[TokenRule] = ()
    ) -> list[Completion | QuestionFailed]:
        """Return what comes of each (request, sample index), in order."""
        decoder = self.decoding(rules)
        decoder.add([(slot, request, index) for slot, (request, index) in enumerate(batch)])
        done: dict[int, Completion | QuestionFailed] = {}
        while decoder.busy:
            done.update(decoder.step())
        return [done[slot] for slot in range(len(batch))]


class TransformersEngine(EnginePlugin):
    """A causal or encoder-decoder Hugging Face checkpoint (safetensors), batched, on CPU or GPU.

    `batch_size` rows and `max_batch_tokens` tokens of prompts and completions are in memory at
    once, rows that later turns may go on from among them.
    """

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: int = Field(default=128, ge=1)
    max_batch_tokens: int = Field(default=65_536, ge=1)

    def load(
        self,
        checkpoint: str | Path,
        *,
        prompt_end: str = "",
        target_begin: str = "",
        chat: bool = False,
    ) -> Engine:
        """Load the checkpoint.

        Raises:
            UserError: no usable checkpoint there.
        """
        from cotdistill.checkpoints import loading as _loading
        from cotdistill.checkpoints.text import TextCodec

        device = _loading.pick_device(self.device)
        dtype = _loading.pick_dtype(self.dtype, device)
        model, tokenizer = _loading.load_checkpoint(checkpoint, dtype, device)
        model.eval()
        two_parts = model.config.is_encoder_decoder
        codec = TextCodec(tokenizer, prompt_end, target_begin, chat, two_parts)
        identity = {
            "engine": "transformers",
            "checkpoint": _loading.checkpoint_fingerprint(checkpoint, model.config),
            "dtype": str(dtype).removeprefix("torch."),
            "prompt_end": prompt_end,
            "target_begin": target_begin,
            "chat": chat,
        }
        return ModelEngine(model, codec, identity, self.batch_size, self.max_batch_tokens)
