"""Checks of arguments that the wire could not tell from an unset field, or could not carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TypeVar

from striate.errors import invalid

Key = TypeVar("Key")
Value = TypeVar("Value")


def at_least(least: int, **values: int | None) -> None:
    """Raises InvalidArgument for a named value below `least`; None, the server's default,
    passes.
    """
    for field, value in values.items():
        if value is not None and value < least:
            raise invalid(field, f"must be at least {least}, is {value}")


def positive(**values: float | None) -> None:
    """Raises InvalidArgument for a named value that is not a finite number above 0; None, the
    server's default, passes.
    """
    for field, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise invalid(field, f"must be above 0 and finite, is {value}")


def whole(field: str, value: object, least: int, most: int) -> int:
    """The value, an integer of any kind, as an int. Raises InvalidArgument for anything else and
    outside `least` to `most`.
    """
    if not isinstance(value, Integral) or not least <= int(value) <= most:
        raise invalid(field, f"must be a whole number from {least} to {most}, is {value!r}")
    return int(value)


def number(field: str, value: object, least: float = 0.0, most: float = math.inf) -> float:
    """The value, a number of any kind, as a float. Raises InvalidArgument for anything else, for
    what is not finite, and outside `least` to `most`.
    """
    if not isinstance(value, Real) or not math.isfinite(value) or not least <= float(value) <= most:
        if most < math.inf:
            raise invalid(field, f"must be {least:g} to {most:g}, is {value!r}")
        raise invalid(
            field,
            f"must be {f'at least {least:g} and ' if least > -math.inf else ''}finite, is "
            f"{value!r}",
        )
    return float(value)


def choice(field: str, name: Key, choices: Mapping[Key, Value]) -> Value:
    """The value that a name stands for. Raises InvalidArgument listing the names."""
    if name not in choices:
        raise invalid(field, f"must be one of {', '.join(map(repr, choices))}, is {name!r}")
    return choices[name]
