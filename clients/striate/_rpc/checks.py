"""Checks of arguments that the wire could not tell from an unset field, or could not carry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from numbers import Integral, Real
from typing import Any, TypeGuard, TypeVar

from striate.errors import invalid

_MOST_SEED = 2**64 - 1

Key = TypeVar("Key")
Value = TypeVar("Value")


def is_integer(value: object) -> TypeGuard[int]:
    """Says whether a value is an integer of any library; a boolean is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: object) -> TypeGuard[float]:
    """Says whether a value is a real number of any library; a boolean is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def flag(field: str, value: object) -> bool:
    """Checks a boolean.

    Args:
        field: Name of the argument in errors.
        value: True or False, of Python or numpy.

    Returns:
        The value as a bool.

    Raises:
        InvalidArgument: It is anything else; a text such as "no" would count as true.
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise invalid(field, f"must be True or False, is {value!r}")


def ordered(field: str, values: object, wanted: str) -> Iterable[Any]:
    """Checks that a value holds others in an order of their own.

    Args:
        field: Name of the argument in errors.
        values: A list, array, generator or other iterable; no text, bytes, set or mapping.
        wanted: What must be given, for errors: "one an image, 3".

    Returns:
        The value.

    Raises:
        InvalidArgument: It is anything else.
    """
    unordered = isinstance(values, str | bytes | bytearray | memoryview | Set | Mapping)
    if unordered or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise invalid(field, f"must be {wanted}, is {values!r}")
    return values


def listed(field: str, values: object, wanted: str) -> list[Any]:
    """Lists what a value holds in an order of their own, as `ordered` checks it.

    Args:
        field: Name of the argument in errors.
        values: A list, array, generator or other iterable; no text, bytes, set or mapping.
        wanted: What must be given, for errors: "one an image, 3".

    Returns:
        What it holds.

    Raises:
        InvalidArgument: It is anything else.
    """
    return list(ordered(field, values, wanted))


def at_least(least: int, **values: int | None) -> None:
    """Checks that whole numbers are not too small.

    Args:
        least: The least value.
        values: The values by the names of their arguments; None, the server's default, passes.

    Raises:
        InvalidArgument: A value is below `least`.
    """
    for field, value in values.items():
        if value is not None and (not is_integer(value) or value < least):
            raise invalid(field, f"must be a whole number of at least {least}, is {value!r}")


def positive(**values: float | None) -> None:
    """Checks that numbers are finite and above 0.

    Args:
        values: The values by the names of their arguments; None, the server's default, passes.

    Raises:
        InvalidArgument: A value is not.
    """
    for field, value in values.items():
        if value is not None and not (is_real(value) and 0 < value < math.inf):
            raise invalid(field, f"must be above 0 and finite, is {value!r}")


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
    if not is_integer(value) or not least <= int(value) <= most:
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
    if not is_real(value) or not math.isfinite(value) or not least <= float(value) <= most:
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
