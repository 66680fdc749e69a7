"""Warnings of the server as warnings of Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from striate.errors import StriateWarning


def distinct(messages: Iterable[str]) -> tuple[str, ...]:
    """Leaves out what comes again.

    Args:
        messages: The messages.

    Returns:
        The messages in order, each once.
    """
    return tuple(dict.fromkeys(messages))


def warn(messages: Iterable[str], depth: int) -> None:
    """Issues each message as a StriateWarning.

    Args:
        messages: The messages.
        depth: The warnings point to the code so many calls above the function that calls this one.
    """
    for message in messages:
        warnings.warn(message, StriateWarning, stacklevel=depth + 2)
