"""Attacks, and what they aim at, as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from striate._requests.oneof import fill
from striate.attacks import ATTACKS, Attack, Drive, EpsilonSearch, Silence
from striate.errors import invalid
from striate.v1 import attack_pb2 as pb

TargetChoiceName = Literal["random", "least-likely"]

NORMS: dict[str, pb.Norm.ValueType] = {"linf": pb.NORM_LINF, "l2": pb.NORM_L2, "l1": pb.NORM_L1}
_WORDS: Mapping[str, Mapping[str, int]] = {
    "keep": {"last": pb.KEEP_LAST, "best": pb.KEEP_BEST},
    "loss": {
        "cross-entropy": pb.LOSS_CROSS_ENTROPY,
        "margin": pb.LOSS_MARGIN,
        "dlr": pb.LOSS_DLR,
    },
}
_BALL = ("epsilon", "norm")  # what stands beside an AttackMethod, not in it
_TARGET_CHOICES: dict[str, pb.TargetChoice.ValueType] = {
    "random": pb.TARGET_CHOICE_RANDOM,
    "least-likely": pb.TARGET_CHOICE_LEAST_LIKELY,
}


def set_search(request: pb.AttackRequest, attack: Attack | EpsilonSearch) -> None:
    """Writes an attack, or a search over epsilons, and its ball into a request.

    Args:
        request: The request that is filled.
        attack: The attack or search.

    Raises:
        InvalidArgument: `attack` is neither.
    """
    if isinstance(attack, EpsilonSearch):
        request.epsilon_search.SetInParent()
        fill(request.epsilon_search, attack, _WORDS, without=_BALL)
    else:
        request.method.CopyFrom(attack_method(attack, "attack"))
        request.epsilon = attack.epsilon
    request.norm = NORMS[attack.norm]


def attack_method(attack: Attack, field: str) -> pb.AttackMethod:
    """Makes the message of an attack, without its epsilon and norm.

    Args:
        attack: An instance of one of the classes in striate.attacks.ATTACKS.
        field: Name of the argument in errors.

    Returns:
        The message.

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
    fill(settings, attack, _WORDS, without=_BALL)
    return method


def unit_goal(unit: Silence | Drive | None) -> pb.UnitGoal | None:
    """Makes the message of a unit to attack.

    Args:
        unit: The unit, or None to attack the class.

    Returns:
        The message, None for None.

    Raises:
        InvalidArgument: `unit` is anything else.
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
    """Reads how targets are chosen where a word says so, not a class.

    Args:
        targets: "random", "least-likely", or classes.
        classes: Names of the classes; one that is called like a word goes before.

    Returns:
        The choice, unspecified for classes.
    """
    if isinstance(targets, str) and targets not in classes:
        return _TARGET_CHOICES.get(targets, pb.TARGET_CHOICE_UNSPECIFIED)
    return pb.TARGET_CHOICE_UNSPECIFIED
