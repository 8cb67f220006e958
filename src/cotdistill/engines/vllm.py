"""Answer with vLLM's offline engine on one's own GPUs: no server, batched, the prompt's cache
shared by its samples.

    engine: {name: vllm, tensor_parallel_size: 4}

Prompts and texts are cut as the engine `transformers` cuts them, so that the two can take each
other's place in a recipe. Every sample is a request of its own with a seed of its own: sample i
does not depend on how many are asked for, and vLLM's prefix cache computes their common prompt
once. Safetensors only, no code from the checkpoint, vLLM's usage statistics off. Left out:
encoder-decoder checkpoints, which vLLM does not run, and token rules. A vLLM server is asked by the
teacher `openai`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from multiprocessing import active_children
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from cotdistill.contracts import Engine, EnginePlugin
from cotdistill.errors import FatalTeacherError, MissingExtra, QuestionFailed, UserError
from cotdistill.model.completion_log import request_json
from cotdistill.records import Completion, Request

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from cotdistill.checkpoints.text import TextCodec

_DECIDED = {"model", "tokenizer", "trust_remote_code", "load_format", "seed"}


class VllmEngine(EnginePlugin):
    """A causal Hugging Face checkpoint on this machine's GPUs through vLLM.

    `engine_args` are further arguments of `vllm.LLM`, such as `{quantization: fp8}`; `seed` makes
    other samples of the same requests.
    """

    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    seed: int = 0
    tensor_parallel_size: int = Field(1, ge=1)
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    max_model_len: int | None = Field(None, ge=1)
    engine_args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("engine_args")
    @classmethod
    def _check_engine_args(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted((_DECIDED | cls.model_fields.keys()) & value.keys()):
            raise ValueError(
                f"{taken[0]!r} has a setting or is decided by cotdistill; "
                "remove it from engine_args"
            )
        return value

    def load(
        self,
        checkpoint: str | Path,
        *,
        prompt_end: str = "",
        target_begin: str = "",
        chat: bool = False,
    ) -> Engine:
        """Load the checkpoint onto the GPUs.

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
                "engine vllm needs vLLM and a GPU: pip install 'cotdistill[vllm]' "
                "(or start `vllm serve` elsewhere and ask it with teacher openai)"
            ) from error
        import torch

        from cotdistill.checkpoints.loading import checkpoint_fingerprint, cuts_as_written, resolve
        from cotdistill.checkpoints.text import TextCodec

        # A training in this process keeps the memory that it has freed, and vLLM wants it free.
        torch.cuda.empty_cache()
        place = resolve(checkpoint)
        own, before = self.model_dump(exclude={"engine_args", "seed"}), active_children()
        try:
            llm = LLM(
                model=str(place),
                load_format="safetensors",
                trust_remote_code=False,
                **own,
                **self.engine_args,
            )
        except (OSError, ValueError, RuntimeError) as error:
            first = (str(error).strip() or repr(error)).split("\n")[0]
            raise UserError(f"engine vllm: cannot load {checkpoint}: {first}") from error
        tokenizer, config = llm.get_tokenizer(), llm.llm_engine.model_config
        if not cuts_as_written(tokenizer, place, self.revision):
            raise UserError(
                f"engine vllm: it cuts words otherwise than tokenizer.json of {checkpoint} says, as"
                " its model was trained; take the engine transformers"
            )
        identity = {
            "engine": "vllm",
            "checkpoint": checkpoint_fingerprint(checkpoint, config.hf_config),
            "prompt_end": prompt_end,
            "target_begin": target_begin,
            "chat": chat,
            **self.model_dump(include={"dtype", "seed", "engine_args"}),
        }
        codec = TextCodec(tokenizer, prompt_end, target_begin, chat=chat)
        own_processes = [one for one in active_children() if one not in before]
        return _LoadedEngine(llm, codec, config.max_model_len, self.seed, identity, own_processes)


class _LoadedEngine:
    """The offline engine behind the batcher."""

    def __init__(
        self,
        llm: Any,
        codec: TextCodec,
        context: int,
        seed: int,
        identity: Mapping[str, Any],
        processes: Sequence[BaseProcess] = (),
    ) -> None:
        self._llm, self._codec, self._context, self._seed = llm, codec, context, seed
        self._identity, self._processes = identity, processes

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def generate(self, batch: Sequence[tuple[Request, int]]) -> list[Completion | QuestionFailed]:
        """Return what comes of each (request, sample index), in order."""
        codec = self._codec
        results: dict[int, Completion | QuestionFailed] = {}
        prompts, sampling = list[Any](), list[Any]()
        for place, (request, index) in enumerate(batch):
            prefill = codec.open_end(request.prefill)
            ids = codec.prompt_ids(request.prompt)
            ids += codec.target_ids(request.prompt, prefill) if prefill else []
            if len(ids) >= self._context:
                results[place] = codec.too_long(request.prompt, len(ids), self._context)
                continue
            prompts.append({"prompt_token_ids": ids})
            sampling.append(self._sampling(request, index))
        outputs = iter(self._answer(prompts, sampling) if prompts else ())
        for place, (request, index) in enumerate(batch):
            if place not in results:
                results[place] = self._completion(request, index, next(outputs))
        return [results[place] for place in range(len(batch))]

    def _answer(self, prompts: list[Any], sampling: list[Any]) -> list[Any]:
        """Return vLLM's outputs.

        Raises:
            FatalTeacherError: a process of vLLM has ended.
        """
        outputs = Future[list[Any]]()

        def work() -> None:
            try:
                outputs.set_result(self._llm.generate(prompts, sampling, use_tqdm=False))
            except Exception as error:  # noqa: BLE001  it belongs to the caller, who waits
                outputs.set_exception(error)

        # vLLM waits for ever for a process that was killed, so this thread may never end.
        Thread(target=work, daemon=True).start()
        while not wait([outputs], timeout=1.0).done and self._alive():
            pass
        if outputs.done() and (outputs.exception() is None or self._alive()):
            return outputs.result()
        raise FatalTeacherError(
            "engine vllm: a process of vLLM has ended (killed, or out of memory); what was "
            "answered before is kept: run the same command again"
        )

    def _alive(self) -> bool:
        return all(one.is_alive() for one in self._processes)

    def _sampling(self, request: Request, sample_index: int) -> Any:
        from vllm import SamplingParams

        # 31 bits that follow from the request, the sample's index and the engine's seed.
        text = f"{self._seed} {sample_index} {request_json(request)}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1
        return SamplingParams(
            n=1,
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            stop=list(request.stop),
            seed=seed,
            logprobs=0,
        )

    def _completion(self, request: Request, sample_index: int, output: Any) -> Completion:
        (made,) = output.outputs
        text, prefill = made.text, self._codec.open_end(request.prefill)
        if prefill != request.prefill and not text.startswith(" "):
            prefill = request.prefill
        if not prefill:
            text = text.removeprefix(self._codec.target_lead(request.prompt))
        tokens = len(made.token_ids)
        return Completion(
            text=prefill + text,
            sample_index=sample_index,
            finish_reason=made.finish_reason or "stop",
            prompt_tokens=len(output.prompt_token_ids),
            completion_tokens=tokens,
            cached_prompt_tokens=output.num_cached_tokens or 0,
            logprob=round(made.cumulative_logprob / tokens, 5) if tokens else None,
        )
