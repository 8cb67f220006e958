"""Any OpenAI-compatible endpoint: hosted, vLLM, SGLang, llama.cpp, Ollama, `transformers serve`.

The key is read from the environment variable `key_env` and from nowhere else; it is in no recipe,
log or message. On a chat endpoint `prefill` is sent as the start of the reply where the server can
continue one (`prefill: true`, as vLLM can), else asked for in words; the returned text starts with
it either way. See docs/teachers.md.
"""

from cotdistill.contracts import Model
from cotdistill.teachers._settings import EndpointSettings


class OpenAI(EndpointSettings):
    """Any OpenAI-compatible endpoint, chat or completions, with limits, retries and a budget.

    Everything that determines a reply (model, base_url, api, system, extra_body, omit, prefill,
    seed) is part of the log's key; limits and prices are not.
    """

    def open(self) -> Model:
        """Return the live model; nothing is sent yet."""
        from cotdistill.teachers._endpoint import Endpoint
        from cotdistill.teachers._model import EndpointModel

        return EndpointModel(self, Endpoint(self))
