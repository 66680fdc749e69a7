"""From the messages of attack methods to the methods: one reader a message, the constructor from
the registry of attacks.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from interp.attack.base import Method
from interp.attack.goal import CROSS_ENTROPY, DLR, MARGIN, Loss
from interp.attack.registry import ATTACKS
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, within
from striate.v1 import attack_pb2 as pb

Settings = dict[str, Any]  # keyword arguments of an attack's constructor

_LOSSES: dict[int, Loss] = {
    pb.LOSS_CROSS_ENTROPY: CROSS_ENTROPY,
    pb.LOSS_MARGIN: MARGIN,
    pb.LOSS_DLR: DLR,
}
MOST_STEPS, MOST_QUERIES, MOST_RESTARTS, MOST_CLASSES = 10_000, 100_000, 100, 1000


@dataclass(frozen=True)
class Target:
    """What a method's settings are read for.

    Attributes:
        model: that will be attacked.
        targeted: images are given target classes, which some losses need more classes for.
        row_settings: settings with one entry a row, by name: "step" and "steps".
    """

    model: HostedModel
    targeted: bool = False
    row_settings: Mapping[str, Tensor] = field(default_factory=dict)


def read_method(message: pb.AttackMethod, field: str, target: Target) -> Method:
    """Read an attack method with every default filled in.

    Args:
        message: names one method.
        field: the request's field, for errors, "method" or "attacks[0]".
        target: what the method is for.

    Raises:
        InvalidField: no method is given, or one of its settings is out of range.
    """
    name = message.WhichOneof("method")
    if name is None:
        raise InvalidField(field, f"is required: {method_names()}")
    if target.row_settings and name != "pgd":
        setting = "step_sizes" if "step" in target.row_settings else "steps"
        raise InvalidField(f"row_settings.{setting}", "is a setting of pgd alone")
    settings = READERS[name](getattr(message, name), f"{field}.{name}", target)
    return ATTACKS[name](**settings)


def method_names() -> str:
    """The names of all methods, for errors: "fgsm, pgd, ... or auto_attack"."""
    *others, last = ATTACKS
    return f"{', '.join(others)} or {last}"


def read_steps(value: int, field: str, default: int) -> int:
    """Read a number of steps, 1 to 10,000; zero stands for the default.

    Args:
        value: of the request.
        field: the method's field, for errors.
        default: what zero stands for.
    """
    return within(f"{field}.steps", value, 1, MOST_STEPS, default=default)


def read_loss(
    message: pb.Fgsm | pb.Pgd | pb.Apgd | pb.Square | pb.EpsilonSearch,
    field: str,
    target: Target,
    default: Loss = CROSS_ENTROPY,
) -> Loss:
    """Read what an attack raises.

    Args:
        message: a method with a loss.
        field: the method's field, for errors.
        target: what the method is for.
        default: what LOSS_UNSPECIFIED stands for.

    Raises:
        InvalidField: the loss is unknown, or the model has too few classes for it.
    """
    if message.loss == pb.LOSS_UNSPECIFIED:
        return default
    if message.loss not in _LOSSES:
        raise InvalidField(f"{field}.loss", "must be LOSS_CROSS_ENTROPY, LOSS_MARGIN or LOSS_DLR")
    loss, model = _LOSSES[message.loss], target.model
    least = loss.classes_needed_targeted if target.targeted else loss.classes_needed
    if model.network.classes < least:
        raise InvalidField(
            f"{field}.loss",
            f"needs a network of at least {least} classes; {model.name!r} has "
            f"{model.network.classes}",
        )
    return loss


def _restarts(value: int, field: str) -> int:
    return within(f"{field}.restarts", value, 1, MOST_RESTARTS, default=1)


def _fgsm(message: pb.Fgsm, field: str, target: Target) -> Settings:
    known(f"{field}.keep", message.keep, pb.Keep.DESCRIPTOR)
    return {
        "keep_best": message.keep == pb.KEEP_BEST,
        "loss": read_loss(message, field, target),
    }


def _pgd(message: pb.Pgd, field: str, target: Target) -> Settings:
    known(f"{field}.keep", message.keep, pb.Keep.DESCRIPTOR)
    longest = float(math.prod(target.model.network.shape))
    random_start = message.random_start if message.HasField("random_start") else True
    restarts = _restarts(message.restarts, field)
    if restarts > 1 and not random_start:
        raise InvalidField(
            f"{field}.restarts",
            f"is {restarts}, must be 1 without a random start: all attempts would be alike",
        )
    stop = message.stop_when_fooled if message.HasField("stop_when_fooled") else True
    settings = {
        "step": within(f"{field}.step", message.step, 0.0, longest)
        if message.HasField("step")
        else None,
        "steps": read_steps(message.steps, field, 40),
        "random_start": random_start,
        "keep_best": message.keep != pb.KEEP_LAST,
        "stop_when_fooled": stop,
        "restarts": restarts,
        "decay": within(f"{field}.decay", message.decay, 0.0, 10.0)
        if message.HasField("decay")
        else None,
        "loss": read_loss(message, field, target),
    }
    return {**settings, **target.row_settings}


def _apgd(message: pb.Apgd, field: str, target: Target) -> Settings:
    targets = within(f"{field}.target_classes", message.target_classes, 0, MOST_CLASSES)
    settings: Settings = {
        "steps": read_steps(message.steps, field, 100),
        "restarts": _restarts(message.restarts, field),
    }
    if targets:  # APGD-T has a loss of its own
        return {**settings, "target_classes": targets}
    return {**settings, "loss": read_loss(message, field, target)}


def _fab(message: pb.Fab, field: str, target: Target) -> Settings:
    targets = within(f"{field}.target_classes", message.target_classes, 1, MOST_CLASSES, default=9)
    return {"steps": read_steps(message.steps, field, 100), "target_classes": targets}


def _square(message: pb.Square, field: str, target: Target) -> Settings:
    return {
        "queries": within(f"{field}.queries", message.queries, 1, MOST_QUERIES, default=5000),
        "loss": read_loss(message, field, target, MARGIN),
        "restarts": _restarts(message.restarts, field),
    }


def _auto_attack(message: pb.AutoAttack, field: str, target: Target) -> Settings:
    return {}


# By the names of the fields of striate.v1.AttackMethod, like `interp.attack.registry.ATTACKS`:
# (message, its field for errors, what it is for) -> settings. Each raises InvalidField.
READERS: dict[str, Callable[[Any, str, Target], Settings]] = {
    "fgsm": _fgsm,
    "pgd": _pgd,
    "apgd": _apgd,
    "fab": _fab,
    "square": _square,
    "auto_attack": _auto_attack,
}
