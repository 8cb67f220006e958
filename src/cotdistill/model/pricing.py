"""What a model's tokens cost: the recipe's own prices, or the offline price list of the optional package genai-prices.

Nothing is fetched: genai-prices ships its list inside the package, and its updater is never started.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Price", "known_price"]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; `cached_input` is the price of prompt tokens the endpoint had cached."""

    input: float
    output: float
    cached_input: float | None = None

    def cost(self, prompt_tokens: int, cached_prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars for these counts; cached tokens are part of the prompt tokens."""
        cached_price = self.input if self.cached_input is None else self.cached_input
        fresh = prompt_tokens - cached_prompt_tokens
        return (
            fresh * self.input
            + cached_prompt_tokens * cached_price
            + completion_tokens * self.output
        ) / 1e6

    def halved(self) -> Price:
        """What batches cost where the list price is for single requests."""
        return Price(
            self.input / 2,
            self.output / 2,
            None if self.cached_input is None else self.cached_input / 2,
        )


def known_price(model: str, base_url: str) -> Price | None:
    """The list price of a model at its endpoint, or None where the package or the model is unknown."""
    if importlib.util.find_spec("genai_prices") is None:
        return None
    from genai_prices import Usage, calc_price

    def dollars(usage: Usage) -> float:
        total: Decimal = calc_price(usage, model_ref=model, provider_api_url=base_url).total_price
        return float(total)

    try:
        return Price(
            input=dollars(Usage(input_tokens=1_000_000)),
            output=dollars(Usage(output_tokens=1_000_000)),
            cached_input=dollars(Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000)),
        )
    except LookupError:
        return None
