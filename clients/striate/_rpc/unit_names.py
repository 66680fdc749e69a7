"""Names of layers, units and classes as callers write them: "layer3.2:7", '"block a":7@3,4'; minus
a unit, "neg(layer3.2:7)", and its magnitude, "abs(layer3.2:7)".

A name with characters other than letters, digits, "_", ".", "/" and "-" stands in quotes, double or
single, in which the quote itself is doubled. The server reads the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from striate.errors import invalid

QUOTED = r""""(?:[^"]|"")+"|'(?:[^']|'')+'"""
LAYER = rf"(?:{QUOTED}|[^:@*\s\"'][^:@*\s]*)"
_CLASS = rf"(?:{QUOTED}|[^:@*\s\"'][^:@*\s]*)"
_PLACE = r"(?:@(?:\d+,\d+|center))?"
UNIT = rf"(?:logits|\"logits\"|'logits'):{_CLASS}{_PLACE}|{LAYER}:\d+{_PLACE}"
_UNIT = re.compile(UNIT)
_LAYER_OR_UNIT = re.compile(rf"(?:neg|abs)\(\s*(?:{UNIT})\s*\)|{UNIT}|{LAYER}")
_NUMBERED_CLASS = re.compile(r"(?<![\w.])logits:(\d+)(?![\w.])")
# where a name may begin: an apostrophe inside a name, as in "jack-o'-lantern", opens no quotes
_BEGUN = re.compile(rf"(?:(?<=^)|(?<=[\s*:(,+-]))(?:{QUOTED})")
_HIDDEN = re.compile("\0(\\d+)\0")
_FORMS = "layer:unit, layer:unit@row,column, layer:unit@center or logits:class (a number or a name)"
_RULE = "names with characters other than letters, digits, _ . / and - stand in double quotes"


def check_unit(field: str, name: object, whole_layers: bool = False) -> None:
    """Checks that a text has the form of a unit's name.

    Args:
        field: Name of the argument in errors.
        name: The text.
        whole_layers: The name of a layer, and minus a unit or its magnitude, will do.

    Raises:
        InvalidArgument: It has another form.
    """
    pattern = _LAYER_OR_UNIT if whole_layers else _UNIT
    if not isinstance(name, str) or not pattern.fullmatch(name):
        forms = (
            f"layer, {_FORMS}, or neg(...) or abs(...) of one of these units"
            if whole_layers
            else _FORMS
        )
        raise invalid(field, f"must be {forms}; {_RULE}, is {name!r}")


def with_class_names(text: str, classes: Sequence[str]) -> str:
    """Puts the names of classes behind their numbers: "logits:3" becomes "logits:3 (cat)".

    Args:
        text: Names of units, or an objective of them.
        classes: Names of the model's classes in the order of the logits.

    Returns:
        The text, for people to read.
    """

    def named(match: re.Match[str]) -> str:
        number = int(match[1])
        known = number < len(classes) and classes[number] != f"class {number}"
        return f"{match[0]} ({classes[number]})" if known else match[0]

    return _NUMBERED_CLASS.sub(named, text)


def hide_quoted(text: str) -> tuple[str, Callable[[str], str]]:
    """Puts marks without any sign in the place of the quoted names of a text.

    Args:
        text: The text, e.g. '2*"a - b":7 + c:3'.

    Returns:
        The text with the marks, and what puts the names back into a piece of it.
    """
    names: list[str] = []

    def hide(match: re.Match[str]) -> str:
        names.append(match[0])
        return f"\0{len(names) - 1}\0"

    hidden = _BEGUN.sub(hide, text.replace("\0", ""))
    return hidden, lambda part: _HIDDEN.sub(lambda match: names[int(match[1])], part)
