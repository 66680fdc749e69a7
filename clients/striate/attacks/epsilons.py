"""Epsilons and conditions as people write them: "8/255", "linf:8/255", "cifar10-plain@clean"."""

from __future__ import annotations

import math
from typing import NamedTuple

from striate._rpc.checks import number
from striate.attacks.base import NORMS, check_epsilon
from striate.errors import invalid

CLEAN = "clean"
_CLOSE = 1e-12  # relative: what a few operations in float64 may round


class Condition(NamedTuple):
    """What an accuracy is measured under.

    Attributes:
        model: Name of the model, "" for every one.
        norm: What epsilon is measured in, "" for the clean images.
        epsilon: Radius of the ball in pixel units of [0, 1], 0 for the clean images.
    """

    model: str
    norm: str
    epsilon: float


def fraction(field: str, value: str | float) -> float:
    """Reads the number in "8/255" or "0.03"; a number stays itself.

    Args:
        field: Name of the argument in errors.
        value: The text or number.

    Returns:
        The number.

    Raises:
        InvalidArgument: It is no number.
    """
    if not isinstance(value, str):
        return number(field, value, least=-math.inf)
    above, slash, below = value.partition("/")
    try:
        return float(above) / float(below) if slash else float(value)
    except (ValueError, ZeroDivisionError):
        raise invalid(field, f'{value!r} is no number; write it as "0.03" or "8/255"') from None


def radius(value: float) -> str:
    """Writes an epsilon for people.

    Args:
        value: The epsilon, in pixel units of [0, 1].

    Returns:
        "0.5" if three digits say it, else "8/255" if it is whole quarters of a level, else six
        digits.
    """
    if math.isclose(float(f"{value:.3g}"), value, rel_tol=_CLOSE):
        return f"{value:.3g}"
    levels = round(value * 255 * 4) / 4
    if levels and math.isclose(levels / 255, value, rel_tol=_CLOSE):
        return f"{levels:g}/255"
    return f"{value:.6g}"


def condition_name(norm: str, epsilon: float) -> str:
    """Writes a condition: "clean" without a norm, else the norm and the radius, "linf:8/255"."""
    return f"{norm}:{radius(epsilon)}" if norm else CLEAN


def read_condition(text: str, field: str) -> Condition:
    """Reads a condition: "clean", "linf:8/255" or, for one model, "MODEL@linf:8/255".

    Args:
        text: The condition.
        field: Name of the argument in errors.

    Returns:
        The condition.

    Raises:
        InvalidArgument: The text is none.
    """
    model, _, words = text.rpartition("@")
    norm, colon, size = words.partition(":")
    if words == CLEAN:
        return Condition(model, "", 0.0)
    if not colon or norm not in NORMS:
        raise invalid(
            field,
            'must be "clean" or "NORM:EPSILON", e.g. "linf:8/255", behind "MODEL@" for one model; '
            f"is {text!r}",
        )
    epsilon = check_epsilon(field, fraction(field, size), norm)
    if epsilon == 0:
        raise invalid(field, 'an epsilon of 0 is written "clean"')
    return Condition(model, norm, epsilon)
