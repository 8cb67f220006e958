"""Prices of a model's tokens from the offline price list of the optional package genai-prices.

Nothing is fetched: genai-prices ships its list inside the package, and its updater is never
started.
"""

import importlib.util
from decimal import Decimal

from cotdistill.contracts import Price


def known_price(model: str, base_url: str, share: float = 1.0) -> Price | None:
    """Return a share of the list price of a model at its endpoint (batches cost half).

    None where the package is not installed or does not know the model.
    """
    if importlib.util.find_spec("genai_prices") is None:
        return None
    from genai_prices import Usage, calc_price

    def dollars(**usage: int) -> float:
        price = calc_price(Usage(**usage), model_ref=model, provider_api_url=base_url)
        total: Decimal = price.total_price
        return float(total) * share

    million = 1_000_000
    try:
        return Price(
            input=dollars(input_tokens=million),
            output=dollars(output_tokens=million),
            cached_input=dollars(input_tokens=million, cache_read_tokens=million),
        )
    except LookupError:
        return None
