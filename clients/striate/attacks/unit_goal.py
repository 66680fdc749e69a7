"""Attacks on the activation of one unit instead of the class."""

from __future__ import annotations

from dataclasses import dataclass

from striate._rpc.checks import number
from striate._rpc.unit_names import check_unit


@dataclass(frozen=True)
class Silence:
    """Attack a unit instead of the class: bring its activation down to a level.

    Attributes:
        unit: "layer:unit" for the mean over the unit's positions, "layer:unit@row,column" for one
            of them, "layer:unit@center" for the one in the middle, or "logits:class" with a
            number or name of a class.
        level: The activation to fall to, None for a tenth of that on the clean image.

    Raises:
        InvalidArgument: `unit` names none, or `level` is not finite.
    """

    unit: str
    level: float | None = None

    def __post_init__(self) -> None:
        _check(self.unit, self.level)


@dataclass(frozen=True)
class Drive:
    """Attack a unit instead of the class: raise its activation above a level.

    Attributes:
        unit: The unit, as in Silence.
        level: The activation to pass, None for twice that on the clean image.

    Raises:
        InvalidArgument: `unit` names none, or `level` is not finite.
    """

    unit: str
    level: float | None = None

    def __post_init__(self) -> None:
        _check(self.unit, self.level)


def _check(unit: object, level: float | None) -> None:
    check_unit("unit", unit)
    if level is not None:
        number("level", level, least=float("-inf"))
