"""A teacher on this machine: an engine and the checkpoint it answers with.

    teacher: {name: local, model: Qwen/Qwen2.5-7B-Instruct, chat: true}
    teacher: {name: local, model: Qwen/Qwen2.5-72B, engine: {name: vllm, tensor_parallel_size: 4}}

A plain (not chat) causal teacher reads the prompt as it is and its completion's first space is not
part of the text, so that prompts written for an endpoint work unchanged.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from cotdistill import plugins
from cotdistill.checkpoints.hashes import checkpoint_hash
from cotdistill.contracts import EnginePlugin, Model, Teacher
from cotdistill.engines.auto import AutoEngine
from cotdistill.model.batcher import BatchedModel


class LocalTeacher(Teacher):
    """A checkpoint on this machine: a folder, GGUF file, hub id or short name (lab, smollm2).

    `engine` is the name of an engine, or a mapping with its settings; `chat` puts plain prompts
    through the tokenizer's chat template.
    """

    model: str
    chat: bool = False
    engine: dict[str, Any] = Field({"name": "transformers"}, validate_default=True)

    @field_validator("engine", mode="before")
    @classmethod
    def _with_all_settings(cls, entry: Any) -> dict[str, Any]:
        entry = plugins.as_entries(entry)
        if not isinstance(entry, str | Mapping):
            raise ValueError("give the name of an engine, or a mapping with `name` and settings")
        engine = plugins.build("engines", entry, EnginePlugin)
        name = entry if isinstance(entry, str) else entry["name"]
        if isinstance(engine, AutoEngine):
            raise ValueError("auto is chosen for students; name the engine of a teacher")
        return {"name": name, **engine.model_dump(mode="json")}

    def contents(self) -> Any:
        return checkpoint_hash(self.model)

    def open(self) -> Model:
        """Load the checkpoint.

        Raises:
            UserError: the checkpoint cannot be used.
            MissingExtra: the engine's package is not installed.
        """
        engine = plugins.build("engines", self.engine, EnginePlugin)
        begin = "" if self.chat else " "
        return BatchedModel(engine.load(self.model, target_begin=begin, chat=self.chat))
