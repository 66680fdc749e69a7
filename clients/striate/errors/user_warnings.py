"""Warnings that point to the user's code, however deep in this package they arise."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from striate.errors.exceptions import StriateWarning

_PACKAGE = str(Path(__file__).resolve().parent.parent)


def warn_user(messages: Iterable[str]) -> None:
    """Issues each message as a StriateWarning that points to the first caller outside this package.

    Args:
        messages: The messages.
    """
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    for message in messages:
        warnings.warn(message, StriateWarning, stacklevel=depth)
