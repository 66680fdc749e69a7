"""The attacks and their goals as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from striate._rpc.checks import number
from striate.attacks import (
    APGD,
    FAB,
    FGSM,
    PGD,
    Attack,
    AuditAttack,
    AutoAttack,
    EpsilonSearch,
    Square,
)
from striate.errors import invalid
from striate.v1 import attack_pb2 as pb
from striate.v1 import audit_pb2

ChoiceName = Literal["random", "least-likely"]

NORMS: dict[str, pb.Norm.ValueType] = {"linf": pb.NORM_LINF, "l2": pb.NORM_L2, "l1": pb.NORM_L1}
_WORDS: dict[str, Mapping[Any, int]] = {
    "norm": NORMS,
    "keep": {None: pb.KEEP_UNSPECIFIED, "last": pb.KEEP_LAST, "best": pb.KEEP_BEST},
    "loss": {
        None: pb.LOSS_UNSPECIFIED,
        "cross-entropy": pb.LOSS_CROSS_ENTROPY,
        "margin": pb.LOSS_MARGIN,
        "dlr": pb.LOSS_DLR,
    },
}
_METHODS: dict[type, tuple[str, type[Any]]] = {  # the attack -> its field in requests, its message
    FGSM: ("fgsm", pb.Fgsm),
    PGD: ("pgd", pb.Pgd),
    APGD: ("apgd", pb.Apgd),
    FAB: ("fab", pb.Fab),
    Square: ("square", pb.Square),
    AutoAttack: ("auto_attack", pb.AutoAttack),
    EpsilonSearch: ("epsilon_search", pb.EpsilonSearch),
}
_BALL = ("epsilon", "norm")
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


def set_method(request: pb.AttackRequest, attack: Attack) -> None:
    """Writes the attack into the request. Raises InvalidArgument for anything that is no attack."""
    field, message = _message(attack, "attack", without=())
    getattr(request, field).CopyFrom(message)


def audit_attack(attack: AuditAttack, field: str) -> audit_pb2.AuditAttack:
    """The attack as an audit runs it: all but its epsilon and norm, which come from the audit's
    threat models.

    Raises InvalidArgument, naming `field`, for anything but the attacks of audits.
    """
    if isinstance(attack, EpsilonSearch):
        raise invalid(
            field, "must not be an EpsilonSearch: an audit itself goes through its epsilons"
        )
    name, message = _message(attack, field, without=_BALL)
    return audit_pb2.AuditAttack(**{name: message})


def _message(attack: Attack, field: str, without: Sequence[str]) -> tuple[str, Any]:
    """Name of the request's field and message of an attack. The dataclasses and the messages call
    their settings alike.
    """
    if type(attack) not in _METHODS:
        *names, last = (f"striate.{kind.__name__}" for kind in _METHODS)
        raise invalid(field, f"must be a {', '.join(names)} or {last}, is {type(attack).__name__}")
    name, message = _METHODS[type(attack)]
    values = {
        one.name: getattr(attack, one.name) for one in fields(attack) if one.name not in without
    }
    values |= {key: words[values[key]] for key, words in _WORDS.items() if key in values}
    return name, message(**{key: value for key, value in values.items() if value is not None})


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
