"""The attacks, as plain values. What is left None is left to the server's defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal

from striate._rpc.checks import choice, number, whole
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


def _flag(name: str, value: object) -> bool:
    return bool(value)


_CHECKS: dict[str, _Check] = {  # fields of one name mean the same in every attack
    "norm": _word(NORMS),
    "keep": _word(KEEPS),
    "loss": _word(LOSSES),
    "step": _optional(),
    "steps": _whole(1, 10_000),
    "random_start": _flag,
    "stop_when_fooled": _flag,
    "restarts": _whole(1, 100),
    "decay": _optional(10.0),
    "target_classes": _whole(0, 1000),
    "queries": _whole(1, 100_000),
    "bisections": _whole(0, 20),
}


def check_epsilon(name: str, value: object, norm: str) -> float:
    """The radius as a float: finite, at least 0, and for Linf at most 1. Raises InvalidArgument."""
    if norm == "linf" and isinstance(value, int | float) and 1 < value <= 255:
        raise invalid(name, f"is in pixel units of [0, 1], is {value!r}; divide by 255")
    return number(name, value, most=1.0 if norm == "linf" else math.inf)


@dataclass(frozen=True)
class _Checked:
    """Every field is checked, and numbers of other libraries become Python's own."""

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name in _CHECKS:
                self._set(one.name, _CHECKS[one.name](one.name, getattr(self, one.name)))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the way of frozen dataclasses


class Attack(_Checked):
    """An attack and its settings: one of the classes in ATTACKS.

    Attributes:
        epsilon: Radius of the ball around each image in pixel units of [0, 1].
        norm: What the ball is measured in, "linf", "l2" or "l1".
    """

    epsilon: float
    norm: NormName

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("epsilon", check_epsilon("epsilon", self.epsilon, self.norm))


@dataclass(frozen=True)
class FGSM(Attack):
    """One step of size epsilon along the sign of the gradient, for L2 along the gradient, for L1
    along its largest entries (Goodfellow et al. 2015).

    Attributes:
        epsilon: Radius of the ball around each image in pixel units of [0, 1].
        norm: What the ball is measured in: "linf", "l2" or "l1".
        keep: Iterate that is returned, "last" or "best", None for last.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    keep: KeepName | None = None
    loss: LossName | None = None


@dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient descent (Madry et al. 2018); with a decay, MI-FGSM (Dong et al. 2018).

    Attributes:
        epsilon: Radius of the ball around each image in pixel units of [0, 1].
        step: Step size in pixel units, at least 0, None for 2.5 * epsilon / steps.
        steps: Gradient steps, 1 to 10000.
        norm: What the ball is measured in: "linf", "l2" or "l1".
        random_start: Begin at a random point of the ball.
        keep: Iterate that is returned, "last" or "best", None for best.
        stop_when_fooled: Stop with an image as soon as it is fooled.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.
        restarts: Attempts, 1 to 100, each on the images that none before it has fooled; more than
            one only with a random start.
        decay: Decay of a momentum of gradients, 0 to 10, None for no momentum.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    step: float | None = None
    steps: int = 40
    norm: NormName = "linf"
    random_start: bool = True
    keep: KeepName | None = None
    stop_when_fooled: bool = True
    loss: LossName | None = None
    restarts: int = 1
    decay: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restarts > 1 and not self.random_start:
            raise invalid(
                "restarts", "must be 1 without random_start: all attempts would be the same"
            )


@dataclass(frozen=True)
class APGD(Attack):
    """PGD that sets its own step sizes, from a random start (Croce & Hein 2020; for L1 Croce & Hein
    2021).

    Attributes:
        epsilon: Radius of the ball around each image in pixel units of [0, 1].
        norm: What the ball is measured in: "linf", "l2" or "l1".
        steps: Gradient steps, 1 to 10000.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.
        restarts: Attempts, 1 to 100, each on the images that none before it has fooled.
        target_classes: How many of the most probable wrong classes are searched towards one by one
            (APGD-T), up to 1000; 0 for one untargeted search.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    steps: int = 100
    loss: LossName | None = None
    restarts: int = 1
    target_classes: int = 0


@dataclass(frozen=True)
class FAB(Attack):
    """The fast adaptive boundary attack in its targeted form, FAB-T (Croce & Hein 2020): the
    nearest point of another class.

    Attributes:
        epsilon: Radius of the ball around each image in pixel units of [0, 1].
        norm: What the ball is measured in: "linf", "l2" or "l1".
        steps: Gradient steps a target class, 1 to 10000.
        target_classes: How many of the most probable wrong classes are tried, 1 to 1000.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    steps: int = 100
    target_classes: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("target_classes", self.target_classes, 1, 1000)  # it has no untargeted form


@dataclass(frozen=True)
class Square(Attack):
    """Random search without gradients (Andriushchenko et al. 2020).

    Attributes:
        epsilon: Radius of the ball around each image in pixel units of [0, 1].
        norm: What the ball is measured in: "linf", "l2" or "l1".
        queries: Images that are evaluated, 1 to 100000.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for margin.
        restarts: Attempts, 1 to 100, each on the images that none before it has fooled.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    queries: int = 5000
    loss: LossName | None = None
    restarts: int = 1


@dataclass(frozen=True)
class AutoAttack(Attack):
    """The standard ensemble (Croce & Hein 2020): APGD with cross-entropy, APGD-T, FAB-T and Square,
    each on the images that none before it has fooled.

    Attributes:
        epsilon: Radius of the ball around each image in pixel units of [0, 1].
        norm: What the ball is measured in: "linf", "l2" or "l1".

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"


@dataclass(frozen=True)
class EpsilonSearch(_Checked):
    """PGD at one epsilon after the other, each beginning where the last one ended; see
    Model.epsilon_curve, which asks for it.

    Attributes:
        epsilons: Radii in rising order, 1 to 64 of them, in pixel units of [0, 1].
        norm: What the balls are measured in: "linf", "l2" or "l1".
        steps: Gradient steps an epsilon, 1 to 10000.
        bisections: Halve the gap below each image's minimal epsilon so often, 0 to 20.
        random_start: Begin at a random point of the ball.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    MOST: ClassVar[int] = 64

    epsilons: tuple[float, ...] = ()
    norm: NormName = "linf"
    steps: int = 10
    bisections: int = 0
    random_start: bool = False
    loss: LossName | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("epsilons", rising("epsilons", self.epsilons, self.norm, self.MOST))


ATTACKS: Mapping[str, type[Attack]] = {  # by their names in the contract's AttackMethod
    "fgsm": FGSM,
    "pgd": PGD,
    "apgd": APGD,
    "fab": FAB,
    "square": Square,
    "auto_attack": AutoAttack,
}


def rising(name: str, values: Iterable[object], norm: str, most: int) -> tuple[float, ...]:
    """Radii of a norm in rising order. Raises InvalidArgument for none, more than `most`, and
    others than rising ones.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise invalid(name, f"must be 1 to {most} radii, is {values!r}")
    radii = tuple(
        check_epsilon(f"{name}[{place}]", value, norm) for place, value in enumerate(values)
    )
    if not 1 <= len(radii) <= most:
        raise invalid(name, f"must be 1 to {most} radii, are {len(radii)}")
    if any(first >= second for first, second in pairwise(radii)):
        raise invalid(name, f"must rise, are {', '.join(f'{radius:g}' for radius in radii)}")
    return radii
