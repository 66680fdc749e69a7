"""Checks of arguments that the wire could not tell from an unset field, or could not carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TypeVar

from striate.errors import invalid

_MOST_SEED = 2**64 - 1

Key = TypeVar("Key")
Value = TypeVar("Value")


def at_least(least: int, **values: int | None) -> None:
    """Checks that whole numbers are not too small.

    Args:
        least: The least value.
        values: The values by the names of their arguments; None, the server's default, passes.

    Raises:
        InvalidArgument: A value is below `least`.
    """
    for field, value in values.items():
        if value is not None and value < least:
            raise invalid(field, f"must be at least {least}, is {value}")


def positive(**values: float | None) -> None:
    """Checks that numbers are finite and above 0.

    Args:
        values: The values by the names of their arguments; None, the server's default, passes.

    Raises:
        InvalidArgument: A value is not.
    """
    for field, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise invalid(field, f"must be above 0 and finite, is {value}")


def whole(field: str, value: object, least: int, most: int) -> int:
    """Checks a whole number.

    Args:
        field: Name of the argument in errors.
        value: An integer of any kind.
        least: The least value.
        most: The largest value.

    Returns:
        The value as an int.

    Raises:
        InvalidArgument: It is no integer, or out of its range.
    """
    if not isinstance(value, Integral) or not least <= int(value) <= most:
        raise invalid(field, f"must be a whole number from {least} to {most}, is {value!r}")
    return int(value)


def seed_value(field: str, value: object) -> int:
    """Checks a seed, 0 to 2^64 - 1.

    Args:
        field: Name of the argument in errors.
        value: An integer of any kind.

    Returns:
        The seed as an int.

    Raises:
        InvalidArgument: It is no integer, or out of its range.
    """
    return whole(field, value, 0, _MOST_SEED)


def optional_whole(field: str, value: object, least: int, most: int) -> int:
    """Checks a whole number that may be left to the server.

    Args:
        field: Name of the argument in errors.
        value: An integer of any kind, or None.
        least: The least value.
        most: The largest value.

    Returns:
        The value as an int, 0 for None.

    Raises:
        InvalidArgument: It is no integer, or out of its range.
    """
    return 0 if value is None else whole(field, value, least, most)


def number(field: str, value: object, least: float = 0.0, most: float = math.inf) -> float:
    """Checks a number.

    Args:
        field: Name of the argument in errors.
        value: A number of any kind.
        least: The least value.
        most: The largest value.

    Returns:
        The value as a float.

    Raises:
        InvalidArgument: It is no number, not finite, or out of its range.
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
    """Looks up what a name stands for.

    Args:
        field: Name of the argument in errors.
        name: The name.
        choices: What every name stands for.

    Returns:
        What it stands for.

    Raises:
        InvalidArgument: There is no such name; the message lists those that there are.
    """
    if name not in choices:
        raise invalid(field, f"must be one of {', '.join(map(repr, choices))}, is {name!r}")
    return choices[name]
