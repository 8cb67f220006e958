"""A large teacher on one's own GPUs through vLLM's offline engine: no server, batched, the prompt's cache shared by its samples.

    teacher: {name: vllm, model: Qwen/Qwen2.5-72B-Instruct, chat: true, tensor_parallel_size: 4}

Prompts and texts are cut as `transformers` cuts them, so that the two can take each other's place in a recipe. Every sample is
a request of its own with a seed of its own: sample i does not depend on how many are asked for, and vLLM's prefix cache
computes their common prompt once. Safetensors only, no code from the checkpoint, vLLM's usage statistics switched off.
Left out: encoder-decoder checkpoints, which vLLM does not run. A vLLM server is asked through `openai` instead.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from cotdistill.contracts import Model, Teacher
from cotdistill.errors import MissingExtra, QuestionFailed, UserError
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.completion_log import request_json
from cotdistill.records import Completion, Request

if TYPE_CHECKING:
    from cotdistill.checkpoints.text import TextCodec

__all__ = ["VllmTeacher"]

_DECIDED = {
    "model",
    "revision",
    "dtype",
    "tensor_parallel_size",
    "gpu_memory_utilization",
    "max_model_len",
}
_DECIDED |= {"trust_remote_code", "load_format", "tokenizer", "seed"}


class VllmTeacher(Teacher):
    """A Hugging Face checkpoint on this machine's GPUs through vLLM: a folder or hub id, causal.

    `chat` puts plain prompts through the tokenizer's chat template. `engine_args` are further arguments of `vllm.LLM`, such as
    `{quantization: fp8}`; `seed` makes other samples of the same requests.
    """

    model: str
    revision: str | None = None
    chat: bool = False
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    seed: int = 0
    tensor_parallel_size: int = Field(1, ge=1)
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    max_model_len: int | None = Field(None, ge=1)
    engine_args: Mapping[str, Any] = {}

    @field_validator("engine_args")
    @classmethod
    def _check_engine_args(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if taken := sorted(_DECIDED & value.keys()):
            raise ValueError(
                f"{taken[0]!r} has a setting or is decided by cotdistill; remove it from engine_args"
            )
        return value

    def open(self) -> Model:
        """Loads the checkpoint onto the GPUs.

        Raises:
            MissingExtra: vLLM is not installed.
            UserError: vLLM cannot load the checkpoint.
        """
        # Before the import, which reads it: nothing is reported to anyone.
        os.environ["VLLM_NO_USAGE_STATS"] = "1"
        try:
            from vllm import LLM
        except ImportError as error:
            raise MissingExtra(
                "teacher vllm needs vLLM and a GPU: pip install 'cotdistill[vllm]' "
                "(or start `vllm serve` elsewhere and ask it with teacher openai)"
            ) from error
        from cotdistill.checkpoints.text import TextCodec

        try:
            llm = LLM(
                model=self.model,
                revision=self.revision,
                dtype=self.dtype,
                tensor_parallel_size=self.tensor_parallel_size,
                gpu_memory_utilization=self.gpu_memory_utilization,
                max_model_len=self.max_model_len,
                load_format="safetensors",
                trust_remote_code=False,
                **self.engine_args,
            )
        except (OSError, ValueError, RuntimeError) as error:
            first = (str(error).strip() or repr(error)).split("\n")[0]
            raise UserError(f"teacher vllm: cannot load {self.model}: {first}") from error
        codec = TextCodec(
            llm.get_tokenizer(), target_begin="" if self.chat else " ", chat=self.chat
        )
        return BatchedModel(_Engine(llm, codec, self))


class _Engine:
    """The offline engine behind the batcher."""

    def __init__(self, llm: Any, codec: TextCodec, settings: VllmTeacher) -> None:
        self._llm, self._codec, self._settings = llm, codec, settings
        self._context_limit: int = llm.llm_engine.model_config.max_model_len
        self._identity = {
            "engine": "vllm",
            "checkpoint": self._fingerprint(),
            "dtype": settings.dtype,
            "chat": settings.chat,
            "seed": settings.seed,
            "engine_args": dict(settings.engine_args),
        }

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def generate(self, batch: Sequence[tuple[Request, int]]) -> list[Completion]:
        """One completion per (request, sample index), in order.

        Raises:
            QuestionFailed: a prompt is longer than the model's context; nothing was computed.
        """
        prompts = [{"prompt_token_ids": self._prompt_ids(request)} for request, _ in batch]
        outputs = self._llm.generate(
            prompts, [self._sampling(*row) for row in batch], use_tqdm=False
        )
        return [self._completion(*row, output) for row, output in zip(batch, outputs, strict=True)]

    def _prompt_ids(self, request: Request) -> list[int]:
        codec = self._codec
        prefill = _open_end(request.prefill)
        ids = codec.prompt_ids(request.prompt) + (
            codec.target_ids(request.prompt, prefill) if prefill else []
        )
        if len(ids) >= self._context_limit:
            raise QuestionFailed(
                f"a prompt of {len(ids)} tokens leaves no room in the model's {self._context_limit}: shorten it, "
                f"ask with fewer exemplars, or raise `max_model_len`",
                reason="prompt too long",
            )
        return ids

    def _sampling(self, request: Request, sample_index: int) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            n=1,
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            stop=list(request.stop),
            seed=_seed(request, sample_index, self._settings.seed),
            logprobs=0,
        )

    def _completion(self, request: Request, sample_index: int, output: Any) -> Completion:
        (made,) = output.outputs
        text, prefill = made.text, _open_end(request.prefill)
        if prefill != request.prefill and not text.startswith(" "):
            prefill = request.prefill
        if not prefill:
            text = text.removeprefix(self._codec.target_lead(request.prompt))
        return Completion(
            text=prefill + text,
            sample_index=sample_index,
            finish_reason=made.finish_reason or "stop",
            prompt_tokens=len(output.prompt_token_ids),
            completion_tokens=len(made.token_ids),
            cached_prompt_tokens=output.num_cached_tokens or 0,
            logprob=round(made.cumulative_logprob / len(made.token_ids), 5)
            if made.token_ids
            else None,
        )

    def _fingerprint(self) -> str:
        from cotdistill.checkpoints.loading import checkpoint_fingerprint

        config = self._llm.llm_engine.model_config.hf_config
        return checkpoint_fingerprint(self._settings.model, config)


def _open_end(prefill: str) -> str:
    """`begin` without its last space, which most tokenizers write into the word after it: the model is to choose that token."""
    return (
        prefill[:-1]
        if prefill.endswith(" ") and not prefill.endswith("  ") and prefill != " "
        else prefill
    )


def _seed(request: Request, sample_index: int, seed: int) -> int:
    """The seed of one sample: 31 bits that follow from the request, the sample's index and the teacher's seed."""
    text = f"{seed} {sample_index} {request_json(request)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1
