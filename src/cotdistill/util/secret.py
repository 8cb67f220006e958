"""Keeps a key out of everything that comes back from an endpoint or a store."""

import json

from pydantic import SecretStr


class Secret:
    """Cuts a key out of text from outside, by value and by every piece of `LEAST` characters."""

    LEAST = 8

    def __init__(self, key: SecretStr | None) -> None:
        value = key.get_secret_value().encode() if key is not None else b""
        if len(value) < self.LEAST:  # "EMPTY" and the like: no secret, but a word of many replies
            value = b""
        self._value = value
        # Every piece of 8 characters holds one of these of 4 whole: so most texts cost 10 searches.
        self._signs = [value[at : at + 4] for at in range(0, len(value) - 3, 4)]

    def cut(self, text: bytes) -> bytes:
        """Return the text with `***` in place of the key and its pieces."""
        if not self._signs:
            return text
        if b"\\u00" in text or b"\\/" in text:  # a key written in JSON's escapes is a key as well
            text = _unescaped(text)
        if not any(sign in text for sign in self._signs):
            return text
        # Backwards, so that what was cut does not move what is still to be looked at; pieces that
        # overlap (a longer part of the key) are one cut.
        least, ends = self.LEAST, list[list[int]]()
        pieces = {self._value[at : at + least] for at in range(len(self._value) - least + 1)}
        for piece in pieces:
            at = text.find(piece)
            while at >= 0:
                ends.append([at, at + least])
                at = text.find(piece, at + 1)
        merged = list[list[int]]()
        for begin, end in sorted(ends):
            if merged and begin <= merged[-1][1]:
                merged[-1][1] = max(end, merged[-1][1])
            else:
                merged.append([begin, end])
        for begin, end in reversed(merged):
            text = text[:begin] + b"***" + text[end:]
        return text

    def cut_text(self, text: str) -> str:
        """Return the same for a text."""
        return self.cut(text.encode("utf-8", "replace")).decode("utf-8", "replace")


def _unescaped(text: bytes) -> bytes:
    """Return JSON without needless escapes; anything else as it is."""
    try:
        data = json.loads(text.decode("utf-8-sig", "replace"))
        return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return text
