"""How a report says its numbers, the same in every format."""

import re
from collections.abc import Mapping
from typing import Any

from interp.audit.conditions import radius

NORMS = {"linf": "L∞", "l2": "L₂", "l1": "L₁"}
DASH = "\u2013"  # between the ends of an interval, and for what was not measured

_FINE = 10_000  # from so many trials on, a percentage has two decimals
# What XML 1.0, section 2.2, does not allow or discourages (the second set of control characters,
# which terminals obey), and what turns the direction of writing of all that follows.
_FORBIDDEN = re.compile(
    "[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def printable(value: Any) -> Any:
    """Replace the characters that neither XML nor HTML can hold, and those that would turn the
    direction of writing, by U+FFFD, in all strings of a JSON value.

    Args:
        value: a JSON value.

    Returns:
        The value, sequences as lists, with its keys replaced likewise.
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
    """Name a threat at one epsilon, as the gates and the classes of a report do.

    Args:
        norm: of the threat: "linf", "l2" or "l1".
        epsilon: of the threat.

    Returns:
        The name, e.g. "linf:8/255".
    """
    return f"{norm}:{radius(epsilon)}"


def condition_words(name: str) -> str:
    """Describe a condition for readers.

    Args:
        name: of a condition, as the report has it.

    Returns:
        E.g. "L∞ ≤ 8/255" for "linf:8/255", "clean images" for "clean".
    """
    norm, colon, size = name.partition(":")
    if colon:
        return f"{NORMS.get(norm, norm)} ≤ {size}"
    return {"clean": "clean images", "corruptions": "corrupted images"}.get(name, name)


def count(value: int) -> str:
    """Write a whole number with its thousands set apart.

    Args:
        value: a whole number.

    Returns:
        E.g. "12,345".
    """
    return f"{value:,}"


def share(value: float, trials: int = 0) -> str:
    """Write a share in percent, with two decimals if so many trials carry them, and one if not.

    Args:
        value: a share of 1.
        trials: of which it is the share.

    Returns:
        The number alone, without a percent sign.
    """
    return f"{100 * value:.{2 if trials >= _FINE else 1}f}"


def plain_percent(value: float) -> str:
    """Write a share in percent with at most six digits.

    Args:
        value: a share of 1 that somebody chose.

    Returns:
        E.g. "30%", "99.9%".
    """
    return f"{100 * value:.6g}%"


def percent(rate: Mapping[str, Any]) -> str:
    """Write the accuracy of a rate.

    Args:
        rate: of the report, with `value`, `low`, `high` (shares of 1, the value None without
            images), `successes` and `trials`.

    Returns:
        E.g. "80.5%", or a dash without images.
    """
    return DASH if rate["value"] is None else share(rate["value"], rate["trials"]) + "%"


def interval(rate: Mapping[str, Any]) -> str:
    """Write the interval of a rate, in percent.

    Args:
        rate: of the report, with `value`, `low`, `high` (shares of 1, the value None without
            images), `successes` and `trials`.

    Returns:
        Both ends with a dash between them, or a dash alone without images.
    """
    return (
        DASH
        if rate["value"] is None
        else f"{share(rate['low'], rate['trials'])}{DASH}{share(rate['high'], rate['trials'])}"
    )


def fixed_n(rate: Mapping[str, Any]) -> str:
    """Write the interval for a number of images that is fixed beforehand, where it stands beside
    one that holds at all times.

    Args:
        rate: of the report, as for `interval`; `fixed_n` has the ends, if there are any.

    Returns:
        E.g. "fixed n 76.8-83.8" with a dash between the ends, or nothing.
    """
    if "fixed_n" not in rate or rate["value"] is None:
        return ""
    return f"fixed n {interval({**rate, **rate['fixed_n']})}"


def error_share(value: float | None) -> str:
    """Write errors as a share of a reference's, in percent.

    Args:
        value: a share of 1, which may be above 1 or below 0; None where it is undefined.

    Returns:
        E.g. "81.5%", or "undefined".
    """
    return "undefined" if value is None else f"{100 * value:.1f}%"


def p_value(value: float) -> str:
    """Write a p-value with two digits.

    Args:
        value: a share of 1.

    Returns:
        E.g. "3.7e-22", "0.39".
    """
    return f"{value:.2g}"


def counted(rate: Mapping[str, Any]) -> str:
    """Write a rate with its count, its accuracy and its interval, or both of its intervals.

    Args:
        rate: of the report, with `value`, `low`, `high` (shares of 1, the value None without
            images), `successes` and `trials`.

    Returns:
        E.g. "412 of 512, 80.5% (76.8-83.8)" with a dash in the interval, or "no images".
    """
    if rate["value"] is None:
        return "no images"
    intervals = "; ".join(filter(None, (interval(rate), fixed_n(rate))))
    return f"{count(rate['successes'])} of {count(rate['trials'])}, {percent(rate)} ({intervals})"


def setting(value: Any) -> str:
    """Write the value of a setting: floats as `radius` writes them, booleans as yes or no.

    Args:
        value: a plain value; lists and mappings are joined by commas.

    Returns:
        The words; "none" for None and for what is empty.
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
