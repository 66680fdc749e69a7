"""From the requests of attacks to specifications of attacks, checked in every setting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from interp.attack.base import Method
from interp.attack.evaluate import UnitTarget
from interp.attack.goal import Choice, Loss, drive, least_likely, random_class, silence
from interp.objective import activation
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, within
from service.rpc.wire import units as wire_units
from service.rpc.wire.robustness import attack_methods as wire_methods
from service.rpc.wire.robustness import threat_model as wire_threat_model
from service.rpc.wire.robustness.wrong_class import require_wrong_class
from striate.v1 import attack_pb2 as pb

MOST_EPSILONS, MOST_BISECTIONS = 64, 20
_CHOICES: dict[int, Choice | None] = {
    pb.TARGET_CHOICE_UNSPECIFIED: None,
    pb.TARGET_CHOICE_RANDOM: random_class,
    pb.TARGET_CHOICE_LEAST_LIKELY: least_likely,
}


@dataclass(frozen=True)
class EpsilonSearch:
    """The settings of `interp.attack.epsilon_curve.epsilon_curve` that are its own."""

    epsilons: tuple[float, ...]
    steps: int
    bisections: int
    fab_steps: int
    random_start: bool
    loss: Loss


@dataclass(frozen=True, eq=False)
class AttackSpec:
    """An attack that is checked and waits for its images; tensors are in the host's memory.

    Attributes:
        search: how to look, in one ball or in several.
        epsilon: radius of the ball, pixel units, or (N,), the rows' own; None: `search` has them.
        p: the norm, `math.inf`, 2 or 1.
        labels: (N,) int64; None: the network's own predictions.
        targets: (N,) int64, or how they are chosen; None: any class but the label.
        unit: what is attacked instead of the class; None: the class is.
        seed, first_row, seeds: see `interp.attack.base.attack`.
        eight_bit: images are rounded to 8-bit levels inside the ball.
        noise_control: also evaluate random noise of the same norm.
    """

    search: Method | EpsilonSearch
    epsilon: float | Tensor | None
    p: float
    labels: Tensor | None
    targets: Tensor | Choice | None
    unit: UnitTarget | None
    seed: int
    first_row: int
    seeds: list[tuple[int, int]] | None
    eight_bit: bool
    noise_control: bool


def read_attack(request: pb.AttackRequest, model: HostedModel, count: int) -> AttackSpec:
    """Read everything of a request but its images, with every default filled in.

    Args:
        request: what is asked for.
        model: that will be attacked.
        count: images of the request, N.

    Raises:
        InvalidField: a setting is out of range or does not go with the others, or the model has no
            wrong class that an image could be taken for.
        UnknownLayer: the model does not have the unit's layer.
    """
    labels = read_classes(request.labels, "labels", count, model)
    targets = read_classes(request.targets, "targets", count, model)
    if labels is not None and targets is not None and bool((labels == targets).any()):
        raise InvalidField("targets", "a target is the image's own label")
    known("format", request.format, pb.ImageFormat.DESCRIPTOR)
    choice = _target_choice(request)
    if not request.HasField("unit"):
        require_wrong_class(model, "model")
    search = _search(request, model, count)
    p = wire_threat_model.read_norm(request.norm, "norm")
    return AttackSpec(
        search=search,
        epsilon=_epsilon(request, p, model, count),
        p=p,
        labels=labels,
        targets=choice if targets is None else targets,
        unit=_unit(request, search, model, count),
        seed=request.seed,
        first_row=request.first_row,
        seeds=_seeds(request, count),
        eight_bit=request.format == pb.IMAGE_FORMAT_PNG,
        noise_control=request.noise_control,
    )


def read_classes(
    values: Sequence[int], field: str, count: int, model: HostedModel
) -> Tensor | None:
    """Read one class an image.

    Args:
        values: of the request.
        field: their name, for errors.
        count: images, N.
        model: whose classes they are.

    Returns:
        (N,) int64, or None if none are given.

    Raises:
        InvalidField: there is not one an image, or the model has no such class.
    """
    if not values:
        return None
    _one_each(values, field, count)
    for number, value in enumerate(values):
        within(f"{field}[{number}]", value, 0, model.network.classes - 1)
    return torch.tensor(values, dtype=torch.long)


def _one_each(values: Sequence[object], field: str, count: int) -> None:
    if len(values) != count:
        raise InvalidField(field, f"there are {len(values)} for {count} images")


def _target_choice(request: pb.AttackRequest) -> Choice | None:
    """How targets are chosen, or None if they are not."""
    if request.target_choice not in _CHOICES:
        raise InvalidField(
            "target_choice", "must be TARGET_CHOICE_RANDOM or TARGET_CHOICE_LEAST_LIKELY"
        )
    if request.target_choice != pb.TARGET_CHOICE_UNSPECIFIED and request.targets:
        raise InvalidField("target_choice", "cannot be given with targets")
    return _CHOICES[request.target_choice]


def _targeted(request: pb.AttackRequest) -> bool:
    return bool(request.targets) or request.target_choice != pb.TARGET_CHOICE_UNSPECIFIED


def _search(request: pb.AttackRequest, model: HostedModel, count: int) -> Method | EpsilonSearch:
    if request.WhichOneof("search") == "epsilon_search":
        return _epsilon_search(request, model)
    if request.method.WhichOneof("method") is None:
        names = wire_methods.method_names()
        raise InvalidField("method", f"is required: {names}; or epsilon_search")
    target = wire_methods.Target(model, _targeted(request), _row_steps(request, model, count))
    return wire_methods.read_method(request.method, "method", target)


def _epsilon_search(request: pb.AttackRequest, model: HostedModel) -> EpsilonSearch:
    message, field = request.epsilon_search, "epsilon_search"
    p = wire_threat_model.read_norm(request.norm, "norm")
    if request.HasField("epsilon"):
        raise InvalidField("epsilon", "cannot be given with epsilon_search, which has its own")
    for name in ("epsilons", "step_sizes", "steps"):
        if getattr(request.row_settings, name):
            raise InvalidField(f"row_settings.{name}", "cannot be given with epsilon_search")
    epsilons = wire_threat_model.read_epsilons(
        message.epsilons, f"{field}.epsilons", p, model, MOST_EPSILONS
    )
    target = wire_methods.Target(model, _targeted(request))
    return EpsilonSearch(
        epsilons=tuple(epsilons),
        steps=wire_methods.read_steps(message.steps, field, 10),
        bisections=within(f"{field}.bisections", message.bisections, 0, MOST_BISECTIONS),
        fab_steps=_fab_steps(request),
        random_start=message.random_start,
        loss=wire_methods.read_loss(message, field, target),
    )


def _fab_steps(request: pb.AttackRequest) -> int:
    steps = request.epsilon_search.fab_steps
    if steps and request.HasField("unit"):
        raise InvalidField(
            "epsilon_search.fab_steps",
            f"is {steps}, must be 0 with a unit: FAB heads for classes; bisections also bring "
            f"minimal epsilons nearer",
        )
    return within("epsilon_search.fab_steps", steps, 0, wire_methods.MOST_STEPS)


def _epsilon(
    request: pb.AttackRequest, p: float, model: HostedModel, count: int
) -> float | Tensor | None:
    """The radius of all rows, or (N,) float64, the rows' own; None for an epsilon search."""
    if request.WhichOneof("search") == "epsilon_search":
        return None
    own = request.row_settings.epsilons
    if own:
        _one_each(own, "row_settings.epsilons", count)
        values = [
            wire_threat_model.read_epsilon(value, p, f"row_settings.epsilons[{i}]", model)
            for i, value in enumerate(own)
        ]
        return torch.tensor(values, dtype=torch.float64)
    if not request.HasField("epsilon"):
        raise InvalidField("epsilon", "is required")
    return wire_threat_model.read_epsilon(request.epsilon, p, "epsilon", model)


def _row_steps(request: pb.AttackRequest, model: HostedModel, count: int) -> dict[str, Tensor]:
    """Step sizes and numbers of steps of the rows' own, (N,) each, by PGD's names."""
    rows, found = request.row_settings, dict[str, Tensor]()
    if rows.step_sizes:
        _one_each(rows.step_sizes, "row_settings.step_sizes", count)
        longest = float(math.prod(model.network.shape))
        for number, size in enumerate(rows.step_sizes):
            within(f"row_settings.step_sizes[{number}]", size, 0.0, longest)
        found["step"] = torch.tensor(list(rows.step_sizes), dtype=torch.float64)
    if rows.steps:
        _one_each(rows.steps, "row_settings.steps", count)
        for number, steps in enumerate(rows.steps):
            within(f"row_settings.steps[{number}]", steps, 1, wire_methods.MOST_STEPS)
        found["steps"] = torch.tensor(list(rows.steps), dtype=torch.long)
    return found


def _seeds(request: pb.AttackRequest, count: int) -> list[tuple[int, int]] | None:
    """The rows' own seeds, if they have any."""
    own = request.row_settings.seeds
    if own:
        _one_each(own, "row_settings.seeds", count)
    return [(seed, 0) for seed in own] or None


def _unit(
    request: pb.AttackRequest, search: Method | EpsilonSearch, model: HostedModel, count: int
) -> UnitTarget | None:
    """The unit that is attacked instead of the class, or None."""
    if not request.HasField("unit"):
        return None
    wanted = request.unit
    if _targeted(request):
        raise InvalidField("unit", "cannot be given with targets")
    if isinstance(search, Method) and not search.attacks_units:
        raise InvalidField(
            "unit",
            f"cannot be attacked by {search.name}, which heads for classes: take fgsm, pgd, apgd "
            f"without target classes, square or epsilon_search",
        )
    path = wire_units.read_unit(wanted.unit, "unit.unit", model)
    if not isinstance(search, Method) or search.name != "square":  # which asks for scores alone
        wire_units.check_gradient(path.layer, "unit.unit", model)
    if wanted.HasField("level") and not math.isfinite(wanted.level):
        raise InvalidField("unit.level", f"is {wanted.level}, must be a finite number")
    level = wanted.level if wanted.HasField("level") else None
    return activation([path] * count, model.network.device), partial(
        drive if wanted.drive else silence, level=level
    )
