"""Checks of arguments that the wire could not tell from an unset field, or could not carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

from striate.errors import invalid

Key = TypeVar("Key")
Value = TypeVar("Value")


def at_least(least: int, **values: int | None) -> None:
    """Raises InvalidArgument for a named value below `least`; None, the server's default, passes."""
    for field, value in values.items():
        if value is not None and value < least:
            raise invalid(field, f"must be at least {least}, is {value}")


def positive(**values: float | None) -> None:
    """Raises InvalidArgument for a named value that is not a finite number above 0; None, the server's default, passes."""
    for field, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise invalid(field, f"must be above 0 and finite, is {value}")


def choice(field: str, name: Key, choices: Mapping[Key, Value]) -> Value:
    """The value that a name stands for. Raises InvalidArgument listing the names."""
    if name not in choices:
        raise invalid(field, f"must be one of {', '.join(map(repr, choices))}, is {name!r}")
    return choices[name]
