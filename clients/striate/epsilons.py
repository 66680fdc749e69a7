"""Epsilons and conditions as people write them: "8/255", "linf:8/255", "cifar10-plain@clean"."""

from __future__ import annotations

from typing import NamedTuple

from striate.attacks import NORMS, check_epsilon
from striate.errors import invalid

CLEAN = "clean"
_CLOSE = 1e-12  # relative, above what sums and fractions in float64 round


class Condition(NamedTuple):
    """What an accuracy is measured under. model: "" for every one; norm: "" and epsilon: 0 for the
    clean images.
    """

    model: str
    norm: str
    epsilon: float


def fraction(field: str, value: str | float) -> float:
    """The number in "8/255" or "0.03"; a number stays itself. Raises InvalidArgument, naming
    `field`.
    """
    if not isinstance(value, str):
        return float(value)
    above, slash, below = value.partition("/")
    try:
        return float(above) / float(below) if slash else float(value)
    except (ValueError, ZeroDivisionError):
        raise invalid(field, f'{value!r} is no number; write it as "0.03" or "8/255"') from None


def radius(value: float) -> str:
    """An epsilon for people: "0.5" if three digits say it, else "8/255" if it is whole quarters of
    a level, else six digits.
    """
    if abs(float(f"{value:.3g}") - value) <= _CLOSE * value:
        return f"{value:.3g}"
    levels = round(value * 255 * 4) / 4
    return (
        f"{levels:g}/255"
        if levels and abs(levels / 255 - value) <= _CLOSE * value
        else f"{value:.6g}"
    )


def condition_name(norm: str, epsilon: float) -> str:
    """ "clean" without a norm, else the norm and the radius: "linf:8/255"."""
    return f"{norm}:{radius(epsilon)}" if norm else CLEAN


def read_condition(text: str, field: str) -> Condition:
    """What "clean", "linf:8/255" or, for one model, "MODEL@linf:8/255" says. Raises
    InvalidArgument, naming `field`.
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
