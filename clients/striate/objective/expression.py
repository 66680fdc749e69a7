"""Objectives as people write them: "layer3.2:7 - 0.5*layer3.2:8 + logits:3", "abs(layer3.2:7)"."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from striate._rpc.unit_names import LAYER, hide_quoted
from striate.errors import InvalidArgument, invalid

# hyphens inside a layer's name are no signs: a sign has space before it
_SIGN = re.compile(r"(?:^|\s)\s*([+-])\s*")
_WHOLE_LAYER = re.compile(rf"(?P<layer>{LAYER}):(?:\*|(?P<first>\d+)-(?P<last>\d+))")
_FORM = re.compile(r"(?P<form>neg|abs)\((?P<inner>.*)\)|-\s*(?P<negative>.*)", re.DOTALL)
_FORM_OF_MORE = re.compile(r"\b(neg|abs)\([^()]*(?:\*|\s[+-])")

# What of every unit of a layer is meant: the mean over its positions, minus it, or its magnitude.
FormName = Literal["value", "neg", "abs"]
_FORM_NAMES: dict[str, FormName] = {"value": "value", "neg": "neg", "abs": "abs"}


class WholeLayer(NamedTuple):
    """The units of a layer.

    Attributes:
        layer: Name of the layer.
        units: Which ones, None for all of them.
        form: What of each is meant.
    """

    layer: str
    units: range | None
    form: FormName = "value"


def read(text: str) -> list[tuple[float, str]]:
    """Reads a sum of units.

    Args:
        text: The sum, e.g. "layer3.2:7 - 0.5*layer3.2:8 + logits:3".

    Returns:
        The names of the units, each behind its weight.

    Raises:
        InvalidArgument: The text is no sum; the message says which part is wrong and how to write
            it.
    """
    if not text.strip():
        raise invalid("objectives", 'must not be empty; write "layer:unit"')
    hidden, restore = hide_quoted(text)
    if match := _FORM_OF_MORE.search(hidden):
        raise _wrong(
            text,
            f"{match[1]}(...) takes one unit, no sum and no factor: write "
            f'"{match[1]}(a:1) - 0.5*b:2"',
        )
    first, *rest = _SIGN.split(hidden.strip())
    signed = list(zip(rest[::2], rest[1::2], strict=True))
    if first.strip():
        signed.insert(0, ("+", first))
    return [_term(sign, term.strip(), text, restore) for sign, term in signed]


def write(terms: Iterable[tuple[float, str]]) -> str:
    """Writes a sum as `read` understands it.

    Args:
        terms: The names of the terms, each behind its weight.

    Returns:
        The text.
    """
    words: list[str] = []
    for weight, name in terms:
        size = name if abs(weight) == 1 else f"{abs(weight):g}*{name}"
        words.append((" - " if weight < 0 else " + ") + size)
    text = "".join(words)
    return text[3:] if text.startswith(" + ") else "-" + text[3:] if text else "0"


def whole_layer(text: object) -> WholeLayer | None:
    """Reads "layer:*" or "layer:16-31", also "neg(layer:*)", "-layer:*" and "abs(layer:*)".

    Args:
        text: The text, or anything else that an objective may be.

    Returns:
        The units; None for any other text.

    Raises:
        InvalidArgument: The units fall.
    """
    if not isinstance(text, str):
        return None
    formed, form, inner = _FORM.fullmatch(text.strip()), "value", text
    if formed is not None:
        form = formed["form"] or "neg"
        inner = formed["negative"] if formed["form"] is None else formed["inner"]
    match = _WHOLE_LAYER.fullmatch(inner.strip())
    if match is None:
        return None
    layer, first, last = match.group("layer", "first", "last")
    if first is None:
        return WholeLayer(layer, None, _FORM_NAMES[form])
    if int(last) < int(first):
        raise invalid("objectives", f"the units of {text!r} must rise")
    return WholeLayer(layer, range(int(first), int(last) + 1), _FORM_NAMES[form])


def _term(sign: str, hidden: str, text: str, restore: Callable[[str], str]) -> tuple[float, str]:
    """A term, behind its weight, of a sum whose quoted names are hidden."""
    factor, star, name = hidden.partition("*")
    if not star:
        factor, name = "1", hidden
    name, term = name.strip(), restore(hidden)
    if whole_layer(term):
        raise invalid(
            "objectives", f"{term!r} is a whole layer, which goes with no other objective"
        )
    if not name:
        raise _wrong(text, f"there is no unit behind {(sign + ' ' + term).strip()!r}")
    if re.search(r"\s", name) and not name.endswith(")"):  # "style(layer, file)" may have some
        raise _wrong(
            text,
            f'{restore(name)!r} has a space in it; write "a:1 + b:2" with a space before the sign, '
            f"and names with spaces in double quotes",
        )
    try:
        weight = float(factor)
    except ValueError:
        raise _wrong(
            text,
            f'{restore(factor).strip()!r} is no number; write "0.5*layer:unit", with a space '
            "before + and -",
        ) from None
    if not math.isfinite(weight) or weight == 0:
        raise _wrong(text, f"the weight {factor.strip()} must be finite and not 0")
    return -weight if sign == "-" else weight, restore(name)


def _wrong(text: str, problem: str) -> InvalidArgument:
    return invalid("objectives", f"in {text!r}, {problem}")
