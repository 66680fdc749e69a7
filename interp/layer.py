"""How a unit of a network is named: "layer3.2", "layer3.2:7", "layer3.2:7@3,4",
"layer3.2:7@center", "logits:281", "logits:tabby"; and what is meant of it: "neg(layer3.2:7)", for
which "-layer3.2:7" stands too, or "abs(layer3.2:7)".

A name of a layer or class with characters other than letters, digits, "_", ".", "/" and "-" stands
in quotes, double or single, in which the quote itself is doubled: '"block a":7',
'logits:"sea lion"'.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from interp.names import LONGEST, class_index, nearest_names

LOGITS = "logits"

# What is meant of a unit: its value (the mean over its positions, or a neuron), minus that, or the
# magnitude of that.
Form = Literal["value", "neg", "abs"]

_QUOTED = r""""(?:[^"]|"")+"|'(?:[^']|'')+'"""
_POSITION = r"(?P<central>center)|(?P<row>\d{1,9}),(?P<column>\d{1,9})"
_SYNTAX = re.compile(
    rf"(?P<layer>{_QUOTED}|[^:@\s\"'][^:@\s]*)"
    rf"(?::(?:(?P<unit>\d{{1,9}})|(?P<name>{_QUOTED}|[^:@\s\"'*][^:@\s*]*))(?:@(?:{_POSITION}))?)?"
)
_FORM = re.compile(r"(?P<form>neg|abs)\((?P<unit>.*)\)|-\s*(?P<negative>.*)", re.DOTALL)
_PLAIN = re.compile(r"[\w./][\w./-]*")
_RULE = (
    "a layer or class whose name has characters other than letters, digits, _ . / and - "
    "stands in double quotes"
)


class UnknownLayer(LookupError):
    """The network has no layer of that name.

    Attributes:
        name: the beginning of it, at most 100 characters.
        nearest: up to three names that look like it, as they may be written.
    """

    def __init__(self, name: str, layers: Sequence[str]) -> None:
        """Name the layer, and those that look like it.

        Args:
            name: that no layer has.
            layers: the names that exist.
        """
        self.name = name[:LONGEST]
        self.nearest = [quoted(layer) for layer in nearest_names(name, layers)]
        hint = f"; did you mean {', '.join(self.nearest)}?" if self.nearest else ""
        super().__init__(f"there is no layer {self.name!r}{hint}")


def quoted(name: str) -> str:
    """Write the name of a layer or class as `LayerPath.parse` reads it: in double quotes, if it has
    characters other than letters, digits, "_", ".", "/" and "-", or begins with "-".

    Args:
        name: of a layer or class.

    Returns:
        The text.
    """
    if _PLAIN.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def _unquoted(text: str) -> str:
    if text[:1] in ("'", '"'):
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


@dataclass(frozen=True)
class LayerPath:
    """A layer, one of its units, or one position of a unit.

    Attributes:
        layer: dotted name of a module, or "logits".
        unit: number of a channel, feature or class, from 0; None: the whole layer.
        position: row and column on the unit's map, from 0; None: the whole unit.
        central: the position in the middle of the layer's map is meant; `resolved` says which that
            is.
        form: of a unit, what of it is meant.
    """

    layer: str
    unit: int | None = None
    position: tuple[int, int] | None = None
    central: bool = False
    form: Form = "value"

    def __str__(self) -> str:
        unit = "" if self.unit is None else f":{self.unit}"
        position = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        text = quoted(self.layer) + unit + ("@center" if self.central else position)
        return text if self.form == "value" else f"{self.form}({text})"

    @property
    def plain(self) -> "LayerPath":
        """The same unit as it is, of whatever form this path is."""
        return replace(self, form="value")

    def resolved(self, shape: Sequence[int]) -> "LayerPath":
        """Return the same path with its position in numbers.

        Args:
            shape: the layer's output for one image.

        Returns:
            of a central path in a layer (units, rows, columns) that of (rows // 2, columns // 2);
            any other path as it is.

        Raises:
            ValueError: the path is central, and the layer has no rows and columns.
        """
        if not self.central:
            return self
        if len(shape) != 3:
            raise ValueError(f"layer {self.layer} has no rows and columns")
        return replace(self, position=(shape[1] // 2, shape[2] // 2), central=False)

    @staticmethod
    def parse(text: str, layers: Sequence[str], classes: Sequence[str] = ()) -> "LayerPath":
        """Read the name of a layer, unit or position.

        Args:
            text: e.g. "layer3.2", "layer3.2:7", "layer3.2:7@3,4", "neg(layer3.2:7)"; lucent's
                "layer3_2" means "layer3.2"; names with odd characters stand in quotes.
            layers: the dotted names that exist.
            classes: names of the classes, for "logits:name".

        Raises:
            ValueError: `text` is not "layer", "layer:unit", "layer:unit@row,column",
                "layer:unit@center" or "logits:class", nor neg(...), abs(...) or minus one of a
                unit, or there is no such class.
            UnknownLayer: no layer has that name.
        """
        formed = _FORM.fullmatch(text.strip())
        if formed is None:
            return LayerPath._parse_plain(text, layers, classes)
        form: Form = "abs" if formed["form"] == "abs" else "neg"
        inner = formed["negative"] if formed["form"] is None else formed["unit"]
        if _FORM.fullmatch(inner.strip()):
            raise ValueError(
                f"{text[:LONGEST]!r} is not of the form {form}(layer:unit): it takes a unit itself"
            )
        path = LayerPath._parse_plain(inner, layers, classes)
        if path.unit is None:
            raise ValueError(
                f"{text[:LONGEST]!r} is of the whole layer {path}: {form}(...) takes one unit, "
                f"e.g. {form}({path}:0)"
            )
        return replace(path, form=form)

    @staticmethod
    def _parse_plain(text: str, layers: Sequence[str], classes: Sequence[str]) -> "LayerPath":
        """Read a name without neg, abs and minus."""
        match = _SYNTAX.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"{text[:LONGEST]!r} is not of the form layer, layer:unit, "
                f"layer:unit@row,column, layer:unit@center or logits:class, nor neg(...) or "
                f"abs(...) of one unit; {_rule(text, layers)}"
            )
        row, column = match.group("row", "column")
        position = None if row is None else (int(row), int(column))
        layer = dotted(_unquoted(match["layer"]), layers)
        unit = None if match["unit"] is None else int(match["unit"])
        if match["name"] is not None:
            if layer != LOGITS:
                raise ValueError(
                    f"{text[:LONGEST]!r} is not of the form layer:unit: the units of a layer are "
                    f"numbers, only classes have names; {_rule(text, layers)}"
                )
            unit = class_index(_unquoted(match["name"]), classes)
        return LayerPath(layer, unit, position, match["central"] is not None)


def _rule(text: str, layers: Sequence[str]) -> str:
    """How to quote the name that is meant, or the rule."""
    name = text.strip()
    return f"the layer of that name is written {quoted(name)}" if name in layers else _RULE


def dotted(name: str, layers: Sequence[str]) -> str:
    """Find the layer that a name means, dots and underscores taken for the same where that is
    unambiguous.

    Args:
        name: of a layer, or "logits".
        layers: the dotted names that exist.

    Returns:
        the dotted name.

    Raises:
        UnknownLayer: there is none.
    """
    if name == LOGITS or name in layers:
        return name
    meant = name.replace(".", "_")
    same = [layer for layer in layers if layer.replace(".", "_") == meant]
    if len(same) != 1:
        raise UnknownLayer(name, layers)
    return same[0]
