"""The word with which a server ends a reply: of a whole text, a cut one or a refused one.

Live replies and files are judged alike, so that a text that broke off is never taken for whole.
"""

from cotdistill.records import REFUSED

# As OpenAI, TGI, Anthropic, Cohere, Google, Ollama and Zhipu write them, and Inspect's logs.
_WHOLE = frozenset(
    ("stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "completed", "tool_calls")
)
_CUT = frozenset(
    ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded")
)
_REFUSALS = frozenset((REFUSED, "refusal", "safety", "recitation", "prohibited_content"))
_REFUSALS |= {"sensitive", "blocklist", "spii"}


def judged(word: str) -> str | None:
    """Return "stop", "length" or REFUSED for a server's word; None for one that stands nowhere:
    such a reply broke off."""
    word = word.lower()
    if word in _WHOLE:
        return "stop"
    return "length" if word in _CUT else REFUSED if word in _REFUSALS else None
