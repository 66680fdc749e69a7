"""What all attacks share: a ball around each image, and fields that are checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from typing import Any, Literal

from striate._rpc.checks import choice, flag, is_real, listed, number, whole
from striate.errors import invalid

NormName = Literal["linf", "l2", "l1"]
KeepName = Literal["last", "best"]
LossName = Literal["cross-entropy", "margin", "dlr"]

NORMS: tuple[NormName, ...] = ("linf", "l2", "l1")
KEEPS: tuple[KeepName | None, ...] = (None, "last", "best")
LOSSES: tuple[LossName | None, ...] = (None, "cross-entropy", "margin", "dlr")

_Check = Callable[[str, Any], Any]  # (name of the field, value) -> the value to keep


def _whole(least: int, most: int) -> _Check:
    return partial(whole, least=least, most=most)


def _optional(most: float = math.inf) -> _Check:
    """None, or a number from 0 to `most`."""
    return lambda name, value: None if value is None else number(name, value, most=most)


def _word(words: tuple[str | None, ...]) -> _Check:
    return partial(choice, choices={word: word for word in words})


_CHECKS: dict[str, _Check] = {  # fields of one name mean the same in every attack
    "norm": _word(NORMS),
    "keep": _word(KEEPS),
    "loss": _word(LOSSES),
    "step": _optional(),
    "steps": _whole(1, 10_000),
    "random_start": flag,
    "stop_when_fooled": flag,
    "restarts": _whole(1, 100),
    "decay": _optional(10.0),
    "target_classes": _whole(0, 1000),
    "queries": _whole(1, 100_000),
    "bisections": _whole(0, 20),
    "fab_steps": _whole(0, 10_000),
}


def check_epsilon(name: str, value: object, norm: str) -> float:
    """Checks the radius of a ball.

    Args:
        name: Name of the argument in errors.
        value: Radius in pixel units of [0, 1], at least 0, and for Linf at most 1.
        norm: What the ball is measured in, "linf", "l2" or "l1".

    Returns:
        The radius as a float.

    Raises:
        InvalidArgument: It is no number, not finite, or out of its range.
    """
    if norm == "linf" and is_real(value) and 1 < value <= 255:
        raise invalid(name, f"is in pixel units of [0, 1], is {value!r}; divide by 255")
    return number(name, value, most=1.0 if norm == "linf" else math.inf)


def check_rising(name: str, values: Iterable[object], norm: str, most: int) -> tuple[float, ...]:
    """Checks radii that must rise.

    Args:
        name: Name of the argument in errors.
        values: 1 to `most` radii in pixel units of [0, 1].
        norm: What they are measured in, "linf", "l2" or "l1".
        most: The largest number of radii.

    Returns:
        The radii as floats.

    Raises:
        InvalidArgument: They are none, too many, out of their range, or do not rise.
    """
    radii = tuple(
        check_epsilon(f"{name}[{place}]", value, norm)
        for place, value in enumerate(listed(name, values, f"1 to {most} radii"))
    )
    if not 1 <= len(radii) <= most:
        raise invalid(name, f"must be 1 to {most} radii, are {len(radii)}")
    if any(first >= second for first, second in pairwise(radii)):
        raise invalid(name, f"must rise, are {', '.join(f'{radius:g}' for radius in radii)}")
    return radii


@dataclass(frozen=True)
class Checked:
    """A dataclass that checks its fields, and turns numbers of other libraries into Python's."""

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name in _CHECKS:
                self._set(one.name, _CHECKS[one.name](one.name, getattr(self, one.name)))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the way of frozen dataclasses


class Attack(Checked):
    """An attack and its settings: one of the classes in `striate.attacks.ATTACKS`.

    Attributes:
        epsilon: Radius of the ball around each image in pixel units of [0, 1].
        norm: What the ball is measured in, "linf", "l2" or "l1".
    """

    epsilon: float
    norm: NormName

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("epsilon", check_epsilon("epsilon", self.epsilon, self.norm))
