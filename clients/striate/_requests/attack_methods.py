"""The attacks and their goals as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from striate._rpc.checks import number
from striate.attacks import ATTACKS, Attack, EpsilonSearch
from striate.errors import invalid
from striate.v1 import attack_pb2 as pb

ChoiceName = Literal["random", "least-likely"]

NORMS: dict[str, pb.Norm.ValueType] = {"linf": pb.NORM_LINF, "l2": pb.NORM_L2, "l1": pb.NORM_L1}
_WORDS: dict[str, Mapping[Any, int]] = {
    "keep": {"last": pb.KEEP_LAST, "best": pb.KEEP_BEST},
    "loss": {
        "cross-entropy": pb.LOSS_CROSS_ENTROPY,
        "margin": pb.LOSS_MARGIN,
        "dlr": pb.LOSS_DLR,
    },
}
_BALL = ("epsilon", "norm")  # what stands beside an AttackMethod, not in it
_CHOICES: dict[str, pb.TargetChoice.ValueType] = {
    "random": pb.TARGET_CHOICE_RANDOM,
    "least-likely": pb.TARGET_CHOICE_LEAST_LIKELY,
}


@dataclass(frozen=True)
class Silence:
    """Attack a unit instead of the class: bring its activation down to a level.

    unit: "layer:unit" for the mean over the unit's positions, "layer:unit@row,column" for one of
    them, "logits:class"; level: None for a tenth of the activation on the clean image. Raises
    InvalidArgument.
    """

    unit: str
    level: float | None = None

    def __post_init__(self) -> None:
        _check_unit(self.unit, self.level)


@dataclass(frozen=True)
class Drive:
    """Attack a unit instead of the class: raise its activation above a level.

    unit: as in Silence; level: None for twice the activation on the clean image. Raises
    InvalidArgument.
    """

    unit: str
    level: float | None = None

    def __post_init__(self) -> None:
        _check_unit(self.unit, self.level)


def set_search(request: pb.AttackRequest, attack: Attack | EpsilonSearch) -> None:
    """Writes an attack, or a search over epsilons, and its ball into a request.

    Raises:
        InvalidArgument: `attack` is neither.
    """
    if isinstance(attack, EpsilonSearch):
        request.epsilon_search.SetInParent()
        _fill(request.epsilon_search, attack)
    else:
        request.method.CopyFrom(attack_method(attack, "attack"))
        request.epsilon = attack.epsilon
    request.norm = NORMS[attack.norm]


def attack_method(attack: Attack, field: str) -> pb.AttackMethod:
    """The message of an attack, without its epsilon and norm.

    Args:
        attack: An instance of one of the classes in striate.attacks.ATTACKS.
        field: Name of the argument in errors.

    Raises:
        InvalidArgument: `attack` is anything else.
    """
    name = next((name for name, kind in ATTACKS.items() if type(attack) is kind), None)
    if name is None:
        *names, last = (f"striate.{kind.__name__}" for kind in ATTACKS.values())
        raise invalid(field, f"must be a {', '.join(names)} or {last}, is {type(attack).__name__}")
    method = pb.AttackMethod()
    settings = getattr(method, name)
    settings.SetInParent()
    _fill(settings, attack)
    return method


def _fill(message: Any, values: Any) -> None:
    """Copies the fields of a dataclass into the fields of a message that have the same names."""
    for one in fields(values):
        value = getattr(values, one.name)
        if one.name in _BALL or value is None:
            continue
        if one.name in _WORDS:
            value = _WORDS[one.name][value]
        if isinstance(value, tuple):
            getattr(message, one.name).extend(value)
        else:
            setattr(message, one.name, value)


def unit_goal(unit: Silence | Drive | None) -> pb.UnitGoal | None:
    """The message of a unit to attack. Raises InvalidArgument for anything but a Silence or a
    Drive.
    """
    if unit is None:
        return None
    if not isinstance(unit, Silence | Drive):
        raise invalid(
            "unit",
            'must be a striate.Silence("layer:unit") or striate.Drive("layer:unit"), '
            f"is {type(unit).__name__}",
        )
    return pb.UnitGoal(unit=unit.unit, drive=isinstance(unit, Drive), level=unit.level)


def target_choice(targets: object, classes: Sequence[str]) -> pb.TargetChoice.ValueType:
    """How targets are chosen, if `targets` is "random" or "least-likely"; a class of that very name
    goes before.
    """
    if isinstance(targets, str) and targets not in classes:
        return _CHOICES.get(targets, pb.TARGET_CHOICE_UNSPECIFIED)
    return pb.TARGET_CHOICE_UNSPECIFIED


def _check_unit(unit: object, level: float | None) -> None:
    if not isinstance(unit, str) or not all(unit.rpartition(":")):
        raise invalid("unit", f'must be "layer:unit", is {unit!r}')
    if level is not None:
        number("level", level, least=float("-inf"))
