"""Texts of strangers, such as the names of models, classes and files, made fit to be shown."""

from __future__ import annotations

import math
import re
from typing import Any

# What a terminal obeys rather than shows (all control characters but tab and newline), what turns
# the direction of writing, breaks lines unseen, or is half a character.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Escapes what would not be seen but obeyed, by a terminal for instance.

    Args:
        text: Any text.

    Returns:
        The text, with such characters as Python writes them: `\\x1b` for an escape.
    """
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def finite(value: Any) -> Any:
    """Makes plain values fit for JSON, which knows no infinity and nothing that is no number.

    Args:
        value: Numbers, texts, and lists and dictionaries of them.

    Returns:
        The same, with None for numbers that are not finite.
    """
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
