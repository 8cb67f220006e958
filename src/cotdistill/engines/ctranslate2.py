"""Answer with CTranslate2, a runtime with 8-bit products on CPUs; causal and encoder-decoder.

    engine: ctranslate2
    engine: {name: ctranslate2, dtype: float32}

A checkpoint is converted once and kept in the cache folder under its fingerprint. Prompts and texts
are cut as the engine `transformers` cuts them, with the checkpoint's own tokenizer. float32 gives
its greedy answers; int8 rounds weights and inputs of every product, so that near-ties fall the
other way and long answers part (docs/performance.md has shares). Left out: token rules, and a
random stream for each sample. CTranslate2 draws all samples from one stream that begins when the
engine is loaded, so a sample depends on what was asked before it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cotdistill.contracts import Engine, EnginePlugin
from cotdistill.errors import MissingExtra


class Ctranslate2Engine(EnginePlugin):
    """A Hugging Face checkpoint (GPT-2, Llama, Qwen, T5 and others) converted for CTranslate2.

    `batch_size` rows of similar length are answered at once, by each of as many workers as there
    are `threads` (0: torch's number) where answers are greedy; samples, and fewer rows, by all
    threads together. `seed` begins the stream that samples are drawn from.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["int8", "float32", "bfloat16", "float16"] = "int8"
    batch_size: int = Field(32, ge=1)
    threads: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)

    def load(
        self,
        checkpoint: str | Path,
        *,
        prompt_end: str = "",
        target_begin: str = "",
        chat: bool = False,
    ) -> Engine:
        """Convert the checkpoint, where that was not done before, and load it.

        Raises:
            MissingExtra: CTranslate2 is not installed.
            UserError: the checkpoint cannot be used or converted.
        """
        try:
            import ctranslate2
        except ImportError as error:
            raise MissingExtra(
                "engine ctranslate2 needs CTranslate2: pip install 'cotdistill[ctranslate2]'"
            ) from error
        import torch

        from cotdistill.checkpoints import loading as _loading
        from cotdistill.checkpoints.auto import one_line
        from cotdistill.checkpoints.text import TextCodec
        from cotdistill.engines._converted import ConvertedModel, convert_once

        config, tokenizer = _loading.load_config(checkpoint), _loading.load_tokenizer(checkpoint)
        fingerprint = _loading.checkpoint_fingerprint(checkpoint, config)
        folder, ends = convert_once(checkpoint, fingerprint, self.dtype)
        two_parts = config.is_encoder_decoder
        kind = ctranslate2.Translator if two_parts else ctranslate2.Generator

        def load(threads: int, workers: int) -> Any:
            ctranslate2.set_random_seed(self.seed)  # read by threads when they first draw
            with one_line(f"{checkpoint}: CTranslate2 cannot load it as {self.dtype}"):
                return kind(
                    str(folder),
                    device=self.device,
                    compute_type=self.dtype,
                    intra_threads=threads,
                    inter_threads=workers,
                )

        identity = {
            "engine": "ctranslate2",
            "checkpoint": fingerprint,
            "prompt_end": prompt_end,
            "target_begin": target_begin,
            "chat": chat,
            **self.model_dump(include={"dtype", "seed"}),
        }
        codec = TextCodec(tokenizer, prompt_end, target_begin, chat, two_parts)
        limit = _loading.context_limit(config)
        on_cpu = self.device == "cpu" or not ctranslate2.get_cuda_device_count()
        threads = (self.threads or torch.get_num_threads()) if on_cpu else 1
        return ConvertedModel(load, threads, codec, limit, ends, self.batch_size, identity)
