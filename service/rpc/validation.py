"""The checks that every request goes through, and the error that names the field at fault.

A leaf: it knows the messages' enumerations and nothing else.
"""

import math
from typing import TypeVar

from google.protobuf.descriptor import EnumDescriptor

T = TypeVar("T", int, float)

MOST_NAME = 200  # characters of a name


class InvalidField(ValueError):
    """A request's field has a value that it may not have.

    Attributes:
        field: the field's path in the request, e.g. "attacks[1].pgd.steps".
        description: what it is, and what it may be.
    """

    def __init__(self, field: str, description: str) -> None:
        self.field, self.description = field, description
        super().__init__(f"{field}: {description}")


def within(field: str, value: T, low: T, high: T, default: T | None = None) -> T:
    """Check that a number lies in a range.

    Args:
        field: name of the request's field, for the error.
        value: what the request says.
        low, high: the least and the greatest value that is allowed.
        default: what zero stands for, where zero means that the field was not set.

    Returns:
        The value, or the default.

    Raises:
        InvalidField: the value is outside the range, or not a number.
    """
    if default is not None and value == 0:
        return default
    if not low <= value <= high:
        raise InvalidField(
            field, f"is {_shown(value)}, must be from {_shown(low)} to {_shown(high)}"
        )
    return value


def above(field: str, value: float, high: float, default: float | None = None) -> float:
    """Check a number that has to be above 0.

    Args:
        field: its path, for errors.
        value: what the request says.
        high: the largest number that is allowed.
        default: what 0 stands for; None: 0 is refused.

    Returns:
        The number, or the default.

    Raises:
        InvalidField: It is out of range, or not a number.
    """
    if default is not None and value == 0:
        return default
    if not 0 < value <= high or not math.isfinite(value):
        raise InvalidField(field, f"is {value:g}, must be above 0 and at most {high:g}")
    return value


def _shown(value: float) -> str:
    """Whole numbers are shown whole: "%g" would round a large one."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def required(field: str, value: str) -> str:
    """Check that a name is given, and short.

    Args:
        field: of the request, for the error.
        value: the name, of at most `MOST_NAME` characters.

    Returns:
        The name.

    Raises:
        InvalidField: the name is empty, or too long.
    """
    if not value:
        raise InvalidField(field, "is required")
    return short(field, value)


def short(field: str, value: str) -> str:
    """Check that a name is short, because an unknown name is compared with all known ones.

    Args:
        field: of the request, for the error.
        value: the name, which may be empty.

    Returns:
        The name.

    Raises:
        InvalidField: the name has more than `MOST_NAME` characters.
    """
    if len(value) > MOST_NAME:
        raise InvalidField(field, f"has {len(value)} characters, must have at most {MOST_NAME}")
    return value


def known(field: str, value: int, kind: EnumDescriptor) -> None:
    """Check that a number is one of an enumeration's values.

    Args:
        field: of the request, for the error.
        value: number of the enumeration's value.
        kind: the enumeration.

    Raises:
        InvalidField: the enumeration has no such value.
    """
    if value not in kind.values_by_number:
        raise InvalidField(
            field, f"is {value}, must be one of {', '.join(one.name for one in kind.values[1:])}"
        )
