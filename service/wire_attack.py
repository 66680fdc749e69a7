"""Between the messages of attacks and their values: settings, labels and verdicts, checked like everything in `wire`."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from interp.attack import Attacked, Method, fgsm, pgd
from service import wire
from service.errors import InvalidField
from service.zoo import HostedModel
from striate.v1 import attack_pb2

_NORMS: dict[int, float] = {attack_pb2.NORM_UNSPECIFIED: math.inf, attack_pb2.NORM_LINF: math.inf, attack_pb2.NORM_L2: 2.0}


def classes(values: Sequence[int], field: str, count: int, model: HostedModel) -> Tensor | None:
    """Classes (N,) int64 of `count` images, or None if none are given."""
    if not values:
        return None
    if len(values) != count:
        raise InvalidField(field, f"there are {len(values)} for {count} images")
    for number, value in enumerate(values):
        wire.within(f"{field}[{number}]", value, 0, model.network.classes - 1)
    return torch.tensor(values, dtype=torch.long)


def method(request: attack_pb2.AttackRequest, model: HostedModel) -> Method:
    """The attack that a request describes, with every default filled in."""
    match request.WhichOneof("method"):
        case "fgsm":
            fast = request.fgsm
            epsilon, p = _ball("fgsm", fast, model)
            return fgsm(epsilon, p, keep_best=fast.keep == attack_pb2.KEEP_BEST)
        case "pgd":
            return _pgd(request.pgd, model)
        case _:
            raise InvalidField("method", "is required: fgsm or pgd")


def _pgd(message: attack_pb2.Pgd, model: HostedModel) -> Method:
    epsilon, p = _ball("pgd", message, model)
    steps = wire.within("pgd.steps", message.steps, 1, 10_000, default=40)
    step = wire.within("pgd.step", message.step, 0.0, math.sqrt(math.prod(model.network.shape))) if message.HasField("step") else None
    return pgd(
        epsilon,
        p,
        step,
        steps,
        random_start=message.random_start if message.HasField("random_start") else True,
        keep_best=message.keep != attack_pb2.KEEP_LAST,
        stop_when_fooled=message.stop_when_fooled if message.HasField("stop_when_fooled") else True,
    )


def _ball(field: str, message: attack_pb2.Fgsm | attack_pb2.Pgd, model: HostedModel) -> tuple[float, float]:
    if message.norm not in _NORMS:
        raise InvalidField(f"{field}.norm", "must be NORM_LINF or NORM_L2")
    if not message.HasField("epsilon"):
        raise InvalidField(f"{field}.epsilon", "is required")
    p = _NORMS[message.norm]
    largest = 1.0 if p == math.inf else math.sqrt(math.prod(model.network.shape))
    return wire.within(f"{field}.epsilon", message.epsilon, 0.0, largest), p


def attack_rows(found: Attacked) -> list[attack_pb2.AttackRow]:
    """The verdicts, one message an image."""
    columns = zip(
        found.label.tolist(),
        found.clean_prediction.tolist(),
        found.prediction.tolist(),
        found.succeeded.tolist(),
        found.norm.tolist(),
        strict=True,
    )
    rows = [
        attack_pb2.AttackRow(label=label, clean_prediction=clean, prediction=prediction, succeeded=succeeded, norm=norm)
        for label, clean, prediction, succeeded, norm in columns
    ]
    if found.control is not None:
        control = zip(found.control.prediction.tolist(), found.control.succeeded.tolist(), found.control.norm.tolist(), strict=True)
        for row, (prediction, succeeded, norm) in zip(rows, control, strict=True):
            row.noise_prediction, row.noise_succeeded, row.noise_norm = prediction, succeeded, norm
    return rows
