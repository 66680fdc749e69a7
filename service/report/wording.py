"""How a report says its numbers, the same in every format."""

import re
from collections.abc import Mapping
from typing import Any

from interp.audit.conditions import radius

NORMS = {"linf": "L∞", "l2": "L₂", "l1": "L₁"}
DASH = "\u2013"  # between the ends of an interval, and for what was not measured

_FINE = 10_000  # from so many trials on, a percentage has two decimals
_FORBIDDEN = re.compile(
    "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # by XML 1.0, section 2.2


def printable(value: Any) -> Any:
    """A JSON value in whose strings the characters that neither XML nor HTML can hold are replaced
    by U+FFFD.
    """
    match value:
        case str():
            return _FORBIDDEN.sub("\ufffd", value)
        case Mapping():
            return {printable(key): printable(item) for key, item in value.items()}
        case list() | tuple():
            return [printable(item) for item in value]
    return value


def condition(norm: str, epsilon: float) -> str:
    """The name of a threat at one epsilon, as the gates and the classes of a report use it:
    "linf:8/255".
    """
    return f"{norm}:{radius(epsilon)}"


def condition_words(name: str) -> str:
    """A condition for readers: "L∞ ≤ 8/255" for "linf:8/255", "clean images" for "clean"."""
    norm, colon, size = name.partition(":")
    if colon:
        return f"{NORMS.get(norm, norm)} ≤ {size}"
    return {"clean": "clean images", "corruptions": "corrupted images"}.get(name, name)


def count(value: int) -> str:
    """A whole number with its thousands set apart: "12,345"."""
    return f"{value:,}"


def share(value: float, trials: int = 0) -> str:
    """A share of 1 in percent, with two decimals if so many trials carry them."""
    return f"{100 * value:.{2 if trials >= _FINE else 1}f}"


def plain_percent(value: float) -> str:
    """A share of 1 that somebody chose, in percent and as short as it is exact: "30%", "99.9%"."""
    return f"{100 * value:.6g}%"


def percent(rate: Mapping[str, Any]) -> str:
    """The accuracy of a rate: "80.5%"."""
    return DASH if rate["value"] is None else share(rate["value"], rate["trials"]) + "%"


def interval(rate: Mapping[str, Any]) -> str:
    """The interval of a rate, in percent: "76.8-83.8" with a dash."""
    return (
        DASH
        if rate["value"] is None
        else f"{share(rate['low'], rate['trials'])}{DASH}{share(rate['high'], rate['trials'])}"
    )


def counted(rate: Mapping[str, Any]) -> str:
    """A rate whole: "412 of 512, 80.5% (76.8-83.8)" with a dash."""
    if rate["value"] is None:
        return "no images"
    return (
        f"{count(rate['successes'])} of {count(rate['trials'])}, {percent(rate)} ({interval(rate)})"
    )


def setting(value: Any) -> str:
    """A value of a setting: numbers in at most six digits, distances of whole levels as a fraction
    of 255.
    """
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case float():
            return radius(value)
        case list() | tuple():
            return ", ".join(map(setting, value)) or "none"
        case Mapping():
            return ", ".join(f"{key} = {setting(item)}" for key, item in value.items()) or "none"
    return str(value)
