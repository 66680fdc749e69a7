"""Between the messages of attacks and their values: settings, goals, labels and verdicts, checked
like everything in `wire`.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from interp.attack.base import Method
from interp.attack.evaluate import AdversarialExamples, UnitTarget
from interp.attack.goal import Choice, drive, least_likely, random_class, silence
from interp.objective import activation
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, within
from service.rpc.wire import attack_methods as wire_methods
from service.rpc.wire import units as wire_units
from striate.v1 import attack_pb2 as pb

_CHOICES: dict[int, Choice | None] = {
    pb.TARGET_CHOICE_UNSPECIFIED: None,
    pb.TARGET_CHOICE_RANDOM: random_class,
    pb.TARGET_CHOICE_LEAST_LIKELY: least_likely,
}


def classes(values: Sequence[int], field: str, count: int, model: HostedModel) -> Tensor | None:
    """Classes (N,) int64 of `count` images, or None if none are given."""
    if not values:
        return None
    _one_each(values, field, count)
    for number, value in enumerate(values):
        within(f"{field}[{number}]", value, 0, model.network.classes - 1)
    return torch.tensor(values, dtype=torch.long)


def _one_each(values: Sequence[object], field: str, count: int) -> None:
    if len(values) != count:
        raise InvalidField(field, f"there are {len(values)} for {count} images")


def method(
    request: pb.AttackRequest, model: HostedModel, count: int = 1
) -> tuple[Method, float | Tensor, float]:
    """The attack of a request on `count` images, with every default filled in and every row's own
    settings; and its epsilon and p.
    """
    name = request.method.WhichOneof("method")
    if name is None:
        raise InvalidField("method", f"is required: {wire_methods.METHODS} or epsilon_search")
    message: wire_methods.Kind = getattr(request.method, name)
    p, rows = wire_methods.norm(request.norm, "norm"), request.row_settings
    if rows.epsilons:
        _one_each(rows.epsilons, "row_settings.epsilons", count)
        values = [
            wire_methods.radius(e, p, f"row_settings.epsilons[{i}]", model)
            for i, e in enumerate(rows.epsilons)
        ]
        epsilon: float | Tensor = torch.tensor(values, dtype=torch.float64)
    elif request.HasField("epsilon"):
        epsilon = wire_methods.radius(request.epsilon, p, "epsilon", model)
    else:
        raise InvalidField("epsilon", "is required")
    own = _own(request, model, count)
    built = wire_methods.build(message, f"method.{name}", model, _targeted(request), own)
    return built, epsilon, p


def _own(request: pb.AttackRequest, model: HostedModel, count: int) -> dict[str, Tensor]:
    """Step sizes and steps of the rows' own, which are PGD's alone."""
    found = {}
    rows, most = request.row_settings, float(math.prod(model.network.shape))
    for name, values in (("step", rows.step_sizes), ("steps", rows.steps)):
        field = "row_settings.step_sizes" if name == "step" else "row_settings.steps"
        if not values:
            continue
        if request.method.WhichOneof("method") != "pgd":
            raise InvalidField(field, "is a setting of pgd alone")
        _one_each(values, field, count)
        for number, value in enumerate(values):
            within(f"{field}[{number}]", value, *((0.0, most) if name == "step" else (1, 10_000)))
        found[name] = torch.tensor(
            list(values), dtype=torch.float64 if name == "step" else torch.long
        )
    return found


def choice(request: pb.AttackRequest) -> Choice | None:
    """How targets are chosen, or None if they are not."""
    if request.target_choice not in _CHOICES:
        raise InvalidField(
            "target_choice", "must be TARGET_CHOICE_RANDOM or TARGET_CHOICE_LEAST_LIKELY"
        )
    if request.target_choice != pb.TARGET_CHOICE_UNSPECIFIED and request.targets:
        raise InvalidField("target_choice", "cannot be given with targets")
    return _CHOICES[request.target_choice]


def unit(request: pb.AttackRequest, model: HostedModel, count: int) -> UnitTarget | None:
    """The unit that is attacked instead of the class, or None."""
    if not request.HasField("unit"):
        return None
    wanted = request.unit
    method = request.method.WhichOneof("method") or request.WhichOneof("search")
    if request.targets or request.target_choice != pb.TARGET_CHOICE_UNSPECIFIED:
        raise InvalidField("unit", "cannot be given with targets")
    if method not in ("fgsm", "pgd", "apgd", "square", "epsilon_search") or (
        method == "apgd" and request.method.apgd.target_classes
    ):
        raise InvalidField(
            "unit",
            "can be attacked by fgsm, pgd, apgd without target classes, square or epsilon_search",
        )
    path = wire_units.read_unit(wanted.unit, "unit.unit", model)
    if wanted.HasField("level") and not math.isfinite(wanted.level):
        raise InvalidField("unit.level", f"is {wanted.level}, must be a finite number")
    level = wanted.level if wanted.HasField("level") else None
    return activation([path] * count, model.network.device), partial(
        drive if wanted.drive else silence, level=level
    )


def seeds(request: pb.AttackRequest, count: int) -> list[tuple[int, int]] | None:
    """The rows' own seeds, if they have any."""
    own = request.row_settings.seeds
    if own:
        _one_each(own, "row_settings.seeds", count)
    return [(seed, 0) for seed in own] or None


def curve(request: pb.AttackRequest, model: HostedModel) -> dict[str, Any]:
    """What `interp.attack.epsilon_curve.epsilon_curve` is given for an EpsilonSearch."""
    message, field = request.epsilon_search, "epsilon_search"
    p = wire_methods.norm(request.norm, "norm")
    if request.HasField("epsilon"):
        raise InvalidField("epsilon", "cannot be given with epsilon_search, which has its own")
    for name in ("epsilons", "step_sizes", "steps"):
        if getattr(request.row_settings, name):
            raise InvalidField(f"row_settings.{name}", "cannot be given with epsilon_search")
    return {
        "epsilons": wire_methods.rising(message.epsilons, f"{field}.epsilons", p, model, 64),
        "p": p,
        "steps": wire_methods.steps(message.steps, field, 10),
        "bisections": within(f"{field}.bisections", message.bisections, 0, 20),
        "random_start": message.random_start,
        "loss": wire_methods.loss(message, field, model, _targeted(request)),
    }


def _targeted(request: pb.AttackRequest) -> bool:
    return bool(request.targets) or request.target_choice != pb.TARGET_CHOICE_UNSPECIFIED


def attack_rows(found: AdversarialExamples, minimal: Sequence[float] = ()) -> list[pb.AttackRow]:
    """The verdicts, one message an image; `minimal`: the images' minimal epsilons, infinite where
    there is none.
    """
    columns: dict[str, Tensor | None] = {
        "label": found.label,
        "clean_prediction": found.clean_prediction,
        "prediction": found.prediction,
        "succeeded": found.succeeded,
        "norm": found.norm,
        "target": found.target,
        "clean_activation": found.clean_activation,
        "activation": found.activation,
        "no_freedom": found.fixed,
    }
    if found.control is not None:
        columns["noise_prediction"] = found.control.prediction
        columns["noise_succeeded"] = found.control.succeeded
        columns["noise_norm"] = found.control.norm
    known = {name: column.tolist() for name, column in columns.items() if column is not None}
    rows = [
        pb.AttackRow(**dict(zip(known, values, strict=True)))
        for values in zip(*known.values(), strict=True)
    ]
    for row, epsilon in zip(rows, minimal, strict=False):
        if epsilon < math.inf:
            row.minimal_epsilon = epsilon
    return rows
