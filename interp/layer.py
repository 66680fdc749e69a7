"""How a unit of a network is named: "layer3.2", "layer3.2:7", "layer3.2:7@3,4",
"layer3.2:7@center", "logits:281".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from interp.names import LONGEST, nearest_names

LOGITS = "logits"

_SYNTAX = re.compile(
    r"(?P<layer>[^:@\s]+)(?::(?P<unit>\d{1,9})(?:@(?:(?P<central>center)|(?P<row>\d{1,9}),(?P<column>\d{1,9})))?)?"
)


class UnknownLayer(LookupError):
    """The network has no layer of that name; `nearest` holds up to three names that look
    like it.
    """

    def __init__(self, name: str, layers: Sequence[str]) -> None:
        self.name = name[:LONGEST]
        self.nearest = nearest_names(name, layers)
        hint = f"; did you mean {', '.join(self.nearest)}?" if self.nearest else ""
        super().__init__(f"there is no layer {self.name!r}{hint}")


@dataclass(frozen=True)
class LayerPath:
    """A layer, one of its units (channel, feature or class), or one position of a unit (row,
    column).

    A central one is the position in the middle of the layer's map; `resolved` says which that is.
    """

    layer: str
    unit: int | None = None
    position: tuple[int, int] | None = None
    central: bool = False

    def __str__(self) -> str:
        unit = "" if self.unit is None else f":{self.unit}"
        position = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        return self.layer + unit + ("@center" if self.central else position)

    def resolved(self, shape: Sequence[int]) -> "LayerPath":
        """The same with the position in numbers, in a layer of that output shape: of a central one
        of (units, rows, columns) it is (rows // 2, columns // 2).

        Raises:
            ValueError: the path is central, and the layer has no rows and columns.
        """
        if not self.central:
            return self
        if len(shape) != 3:
            raise ValueError(f"layer {self.layer} has no rows and columns")
        return replace(self, position=(shape[1] // 2, shape[2] // 2), central=False)

    @staticmethod
    def parse(text: str, layers: Sequence[str]) -> "LayerPath":
        """Read `text`, where `layers` are the dotted names that exist; lucent's "layer3_2" means
        "layer3.2".

        Raises:
            ValueError: `text` is not "layer", "layer:unit", "layer:unit@row,column" or
                "layer:unit@center".
            UnknownLayer: no layer has that name.
        """
        match = _SYNTAX.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"{text[:LONGEST]!r} is not of the form layer, layer:unit, "
                f"layer:unit@row,column or layer:unit@center"
            )
        layer, unit, row, column = match.group("layer", "unit", "row", "column")
        position = None if row is None else (int(row), int(column))
        return LayerPath(
            dotted(layer, layers),
            None if unit is None else int(unit),
            position,
            match["central"] is not None,
        )


def dotted(name: str, layers: Sequence[str]) -> str:
    """The one of `layers` (or "logits") that `name` means, dots and underscores taken for the same
    where that is unambiguous.

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
