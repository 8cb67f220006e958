"""Names made from values: fingerprints of JSON-able values, and safe folder names of labels."""

import hashlib
import json
import re
import unicodedata
from typing import Any

_LONGEST_NAME = 200
"""Bytes of a folder name; file systems allow 255, and a split's name is put before it."""


def fingerprint(value: Any) -> str:
    """Return 32 hex digits of SHA-256 over the canonical JSON of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def folder_name(label: str) -> str:
    """Return a label as a safe, readable folder name: "cot samples=8" becomes "cot-samples-8".

    Raises:
        ValueError: nothing of the label can stand in a folder name, or it is too long for one.
    """
    # Letters of any script, digits, underscores and dots stay; any run of others is one hyphen.
    name = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", label)).strip("-.")
    if not name:
        raise ValueError(
            f"label {label!r} has no letter or digit to name a folder by; "
            "give a `label` that has one"
        )
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"label {label!r} is too long to name a folder by; give a shorter `label`")
    return name
