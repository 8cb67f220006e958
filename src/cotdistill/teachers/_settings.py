"""The settings of an OpenAI-compatible endpoint, checked before anything is asked."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from cotdistill.contracts import Operational, Teacher
from cotdistill.errors import UserError
from cotdistill.util.addresses import key_in

_LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_RESERVED = {"model", "messages", "prompt", "n", "temperature", "top_p", "stop", "stream", "seed"}


class EndpointSettings(Teacher):
    """The model (model to logprobs), limits of its use, batches, prices per million tokens."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    api: Literal["chat", "completions"] = "chat"
    key_env: Annotated[str, Operational()] = "OPENAI_API_KEY"
    key_header: Annotated[str, Operational()] = Field("Authorization", pattern=r"^[A-Za-z0-9-]+$")
    system: str = ""
    extra_body: Mapping[str, Any] = {}
    omit: tuple[str, ...] = ()
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    prefill: bool = False
    rationale: Literal["auto", "reply", "reasoning", "both"] = "auto"
    seed: int | None = None
    logprobs: bool = False
    samples_per_call: Annotated[int, Operational()] = Field(16, ge=1)
    max_concurrency: Annotated[int, Operational()] = Field(128, ge=1)
    requests_per_minute: Annotated[float | None, Operational()] = Field(None, gt=0)
    tokens_per_minute: Annotated[float | None, Operational()] = Field(None, gt=0)
    timeout_s: Annotated[float, Operational()] = Field(300.0, gt=0)
    total_timeout_s: Annotated[float, Operational()] = Field(3600.0, gt=0)
    patience_s: Annotated[float, Operational()] = Field(600.0, ge=0)
    connect_patience_s: Annotated[float, Operational()] = Field(10.0, ge=0)
    retries: Annotated[int, Operational()] = Field(6, ge=0)
    batch: Annotated[bool, Operational()] = False
    batch_size: Annotated[int, Operational()] = Field(50_000, ge=1)
    batch_gather_s: Annotated[float, Operational()] = Field(5.0, ge=0)
    batch_poll_s: Annotated[float, Operational()] = Field(30.0, gt=0)
    input_price: Annotated[float | None, Operational()] = Field(None, ge=0)
    cached_input_price: Annotated[float | None, Operational()] = Field(None, ge=0)
    output_price: Annotated[float | None, Operational()] = Field(None, ge=0)

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is no address; write it like http://localhost:8000/v1")
        if parts.username or parts.password or key_in(value) or "${" in value:
            raise ValueError(
                "a key does not belong into the address; put it into the variable named by"
                " `key_env` (`key_header` names the header that carries it)"
            )
        return value.rstrip("/")

    @field_validator("extra_body")
    @classmethod
    def _check_extra(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if taken := sorted(_RESERVED & value.keys()):
            raise ValueError(
                f"{taken[0]!r} has a setting or is decided by the method; remove it from extra_body"
            )
        return value

    @model_validator(mode="after")
    def _check_prices(self) -> Self:
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("input_price and output_price belong together; give both")
        return self

    @property
    def is_local(self) -> bool:
        """Return whether the endpoint is on this machine: it may do without a key."""
        return urlsplit(self.base_url).hostname in _LOOPBACK

    def key(self) -> SecretStr | None:
        """Return the key from the environment; None for a local endpoint without one.

        Raises:
            UserError: the endpoint needs a key and there is none, or it is none.
        """
        value = os.environ.get(self.key_env, "").strip()
        if value:
            if not (value.isascii() and value.isprintable()):
                raise UserError(
                    f"teacher openai: the key in {self.key_env} has characters that no key has;"
                    " copy it again"
                )
            return SecretStr(value)
        if self.is_local:
            return None
        raise UserError(
            f"teacher openai: no key for {self.base_url}; set the environment variable"
            f" {self.key_env} (or name another one in `key_env`)"
        )
