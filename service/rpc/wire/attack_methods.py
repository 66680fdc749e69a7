"""Between the messages of attacks and the attacks themselves: norms, radii, losses and every
method's settings.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from interp.attack import registry as attacks
from interp.attack.base import Method
from interp.attack.goal import CROSS_ENTROPY, DLR, MARGIN, Loss
from interp.audit.plan import PlannedAttack
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, within
from striate.v1 import attack_pb2 as pb

Kind = pb.Fgsm | pb.Pgd | pb.Apgd | pb.Fab | pb.Square | pb.AutoAttack

_NORMS: dict[int, float] = {
    pb.NORM_UNSPECIFIED: math.inf,
    pb.NORM_LINF: math.inf,
    pb.NORM_L2: 2.0,
    pb.NORM_L1: 1.0,
}
_LOSSES: dict[int, Loss] = {
    pb.LOSS_CROSS_ENTROPY: CROSS_ENTROPY,
    pb.LOSS_MARGIN: MARGIN,
    pb.LOSS_DLR: DLR,
}
METHODS = "fgsm, pgd, apgd, fab, square or auto_attack"
_LABELS = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "apgd": "APGD",
    "apgd-t": "APGD-T",
    "fab-t": "FAB-T",
    "square": "Square",
    "autoattack": "AutoAttack",
}


def norm(value: int, field: str) -> float:
    """The p of a norm; `math.inf` by default."""
    if value not in _NORMS:
        raise InvalidField(field, "must be NORM_LINF, NORM_L2 or NORM_L1")
    return _NORMS[value]


def radius(value: float, p: float, field: str, model: HostedModel) -> float:
    """An epsilon: at most what the farthest corner of the box is away."""
    pixels = math.prod(model.network.shape)
    return within(field, value, 0.0, 1.0 if p == math.inf else pixels ** (1 / p))


def rising(
    values: Sequence[float], field: str, p: float, model: HostedModel, most: int
) -> list[float]:
    """Radii in rising order, at least one and at most `most`."""
    if not 1 <= len(values) <= most:
        raise InvalidField(field, f"there are {len(values)}, must be from 1 to {most}")
    found = [radius(value, p, f"{field}[{i}]", model) for i, value in enumerate(values)]
    if any(b <= a for a, b in pairwise(found)):
        raise InvalidField(field, "must rise")
    return found


def entry(message: pb.AttackMethod, field: str, model: HostedModel) -> PlannedAttack:
    """An attack of an audit; epsilon and norm come from the audit's threat models."""
    kind = message.WhichOneof("method")
    if kind is None:
        raise InvalidField(field, f"is required: {METHODS}")
    one: Kind = getattr(message, kind)
    method = build(one, f"{field}.{kind}", model, False, {})
    return PlannedAttack(_label(method.name, method.settings), method)


def _label(name: str, settings: Mapping[str, Any]) -> str:
    """What tells an attack from others in a table: "PGD-40", "PGD-40 margin x5"."""
    words = [_LABELS[name]]
    if (count := settings.get("steps", settings.get("queries"))) and name not in (
        "fgsm",
        "autoattack",
    ):
        words[0] += f"-{count}"
    if settings.get("decay") is not None:
        words.append(f"decay {settings['decay']:g}")
    if settings.get("loss", "") not in ("", "margin" if name == "square" else "cross-entropy"):
        words.append(settings["loss"])
    if settings.get("random_start") is False and name != "fgsm":
        words.append("from x")
    if settings.get("restarts", 1) > 1:
        words.append(f"x{settings['restarts']}")
    return " ".join(words)


def build(
    message: Kind, field: str, model: HostedModel, targeted: bool, own: dict[str, Tensor]
) -> Method:
    match message:
        case pb.Fgsm():
            known(f"{field}.keep", message.keep, pb.Keep.DESCRIPTOR)
            return attacks.fgsm(
                keep_best=message.keep == pb.KEEP_BEST,
                loss=loss(message, field, model, targeted),
            )
        case pb.Pgd():
            return _pgd(message, field, model, targeted, own)
        case pb.Apgd() if message.target_classes:
            most = within(f"{field}.target_classes", message.target_classes, 0, 1000)
            return attacks.apgd_t(
                steps=steps(message.steps, field, 100),
                target_classes=most,
                restarts=_restarts(message.restarts, field),
            )
        case pb.Apgd():
            return attacks.apgd(
                steps=steps(message.steps, field, 100),
                loss=loss(message, field, model, targeted),
                restarts=_restarts(message.restarts, field),
            )
        case pb.Fab():
            most = within(f"{field}.target_classes", message.target_classes, 1, 1000, default=9)
            return attacks.fab(steps=steps(message.steps, field, 100), target_classes=most)
        case pb.Square():
            queries = within(f"{field}.queries", message.queries, 1, 100_000, default=5000)
            climbed = loss(message, field, model, targeted, MARGIN)
            return attacks.square(
                queries=queries,
                loss=climbed,
                restarts=_restarts(message.restarts, field),
            )
        case pb.AutoAttack():
            return attacks.auto_attack()


def _pgd(
    message: pb.Pgd, field: str, model: HostedModel, targeted: bool, own: dict[str, Tensor]
) -> Method:
    known(f"{field}.keep", message.keep, pb.Keep.DESCRIPTOR)
    step = (
        within(f"{field}.step", message.step, 0.0, float(math.prod(model.network.shape)))
        if message.HasField("step")
        else None
    )
    random_start = message.random_start if message.HasField("random_start") else True
    restarts = _restarts(message.restarts, field)
    if restarts > 1 and not random_start:
        raise InvalidField(
            f"{field}.restarts",
            f"is {restarts}, must be 1 without a random start: all attempts would be alike",
        )
    return attacks.pgd(
        step=own.get("step", step),
        steps=own.get("steps", steps(message.steps, field, 40)),
        random_start=random_start,
        keep_best=message.keep != pb.KEEP_LAST,
        stop_when_fooled=message.stop_when_fooled if message.HasField("stop_when_fooled") else True,
        restarts=restarts,
        decay=within(f"{field}.decay", message.decay, 0.0, 10.0)
        if message.HasField("decay")
        else None,
        loss=loss(message, field, model, targeted),
    )


def steps(value: int, field: str, default: int) -> int:
    return within(f"{field}.steps", value, 1, 10_000, default=default)


def _restarts(value: int, field: str) -> int:
    return within(f"{field}.restarts", value, 1, 100, default=1)


def loss(
    message: pb.Fgsm | pb.Pgd | pb.Apgd | pb.Square | pb.EpsilonSearch,
    field: str,
    model: HostedModel,
    targeted: bool,
    default: Loss = CROSS_ENTROPY,
) -> Loss:
    if message.loss == pb.LOSS_UNSPECIFIED:
        return default
    if message.loss not in _LOSSES:
        raise InvalidField(f"{field}.loss", "must be LOSS_CROSS_ENTROPY, LOSS_MARGIN or LOSS_DLR")
    if message.loss == pb.LOSS_DLR:
        _enough(model, 4 if targeted else 3, f"{field}.loss")
    return _LOSSES[message.loss]


def _enough(model: HostedModel, least: int, field: str) -> None:
    if model.network.classes < least:
        raise InvalidField(
            field,
            f"needs a network of at least {least} classes; {model.name!r} has "
            f"{model.network.classes}",
        )
