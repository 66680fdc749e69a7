"""Between the messages of attacks and their values: settings, goals, labels and verdicts, checked like everything in `wire`."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from interp import recipes
from interp.attack import Aim, Attacked, Method, fgsm, pgd
from interp.audit.plan import Entry
from interp.goal import CROSS_ENTROPY, DLR, MARGIN, Choice, Loss, drive, least_likely, random_class, silence
from interp.objective import activation
from service import wire
from service.errors import InvalidField
from service.zoo import HostedModel
from striate.v1 import attack_pb2 as pb
from striate.v1 import audit_pb2

Kind = pb.Fgsm | pb.Pgd | pb.Apgd | pb.Fab | pb.Square | pb.AutoAttack
Build = Callable[[float | Tensor, float], Method]  # (epsilon, p) -> the attack

_NORMS: dict[int, float] = {pb.NORM_UNSPECIFIED: math.inf, pb.NORM_LINF: math.inf, pb.NORM_L2: 2.0, pb.NORM_L1: 1.0}
_LOSSES: dict[int, Loss] = {pb.LOSS_CROSS_ENTROPY: CROSS_ENTROPY, pb.LOSS_MARGIN: MARGIN, pb.LOSS_DLR: DLR}
_CHOICES: dict[int, Choice | None] = {
    pb.TARGET_CHOICE_UNSPECIFIED: None,
    pb.TARGET_CHOICE_RANDOM: random_class,
    pb.TARGET_CHOICE_LEAST_LIKELY: least_likely,
}
_METHODS = "fgsm, pgd, apgd, fab, square, auto_attack or epsilon_search"
_LABELS = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "apgd": "APGD",
    "apgd-t": "APGD-T",
    "fab-t": "FAB-T",
    "square": "Square",
    "autoattack": "AutoAttack",
}


def classes(values: Sequence[int], field: str, count: int, model: HostedModel) -> Tensor | None:
    """Classes (N,) int64 of `count` images, or None if none are given."""
    if not values:
        return None
    _one_each(values, field, count)
    for number, value in enumerate(values):
        wire.within(f"{field}[{number}]", value, 0, model.network.classes - 1)
    return torch.tensor(values, dtype=torch.long)


def _one_each(values: Sequence[object], field: str, count: int) -> None:
    if len(values) != count:
        raise InvalidField(field, f"there are {len(values)} for {count} images")


def norm(value: int, field: str) -> float:
    """The p of a norm; `math.inf` by default."""
    if value not in _NORMS:
        raise InvalidField(field, "must be NORM_LINF, NORM_L2 or NORM_L1")
    return _NORMS[value]


def radius(value: float, p: float, field: str, model: HostedModel) -> float:
    """An epsilon: at most what the farthest corner of the box is away."""
    pixels = math.prod(model.network.shape)
    return wire.within(field, value, 0.0, 1.0 if p == math.inf else pixels ** (1 / p))


def method(request: pb.AttackRequest, model: HostedModel, count: int = 1) -> Method:
    """The attack of a request on `count` images, with every default filled in and every row's own settings."""
    field = request.WhichOneof("method")
    if field is None or field == "epsilon_search":
        raise InvalidField("method", f"is required: {_METHODS}")
    message: Kind = getattr(request, field)
    p, rows = norm(message.norm, f"{field}.norm"), request.row_settings
    if rows.epsilons:
        _one_each(rows.epsilons, "row_settings.epsilons", count)
        values = [radius(e, p, f"row_settings.epsilons[{i}]", model) for i, e in enumerate(rows.epsilons)]
        epsilon: float | Tensor = torch.tensor(values, dtype=torch.float64)
    elif message.HasField("epsilon"):
        epsilon = radius(message.epsilon, p, f"{field}.epsilon", model)
    else:
        raise InvalidField(f"{field}.epsilon", "is required")
    return _build(message, field, model, _targeted(request), _own(request, model, count))(epsilon, p)


def _own(request: pb.AttackRequest, model: HostedModel, count: int) -> dict[str, Tensor]:
    """Step sizes and steps of the rows' own, which are PGD's alone."""
    found = {}
    rows, most = request.row_settings, float(math.prod(model.network.shape))
    for name, values in (("step", rows.step_sizes), ("steps", rows.steps)):
        field = "row_settings.step_sizes" if name == "step" else "row_settings.steps"
        if not values:
            continue
        if request.WhichOneof("method") != "pgd":
            raise InvalidField(field, "is a setting of pgd alone")
        _one_each(values, field, count)
        for number, value in enumerate(values):
            wire.within(f"{field}[{number}]", value, *((0.0, most) if name == "step" else (1, 10_000)))
        found[name] = torch.tensor(list(values), dtype=torch.float64 if name == "step" else torch.long)
    return found


def entry(message: audit_pb2.AuditAttack, field: str, model: HostedModel) -> Entry:
    """An attack of an audit; epsilon and norm come from the audit's threat models."""
    kind = message.WhichOneof("method")
    if kind is None:
        raise InvalidField(field, f"is required: {_METHODS.replace(' or epsilon_search', '')}")
    one: Kind = getattr(message, kind)
    if one.HasField("epsilon") or one.norm != pb.NORM_UNSPECIFIED:
        raise InvalidField(f"{field}.{kind}", "must not have an epsilon or a norm: they are those of the threat models")
    build = _build(one, f"{field}.{kind}", model, False, {})
    settings = dict(build(1.0, math.inf).settings)  # epsilon 1 stands for any
    if isinstance(one, pb.Pgd) and not one.HasField("step"):
        settings["step"] = "2.5 epsilon / steps"
    name = build(1.0, math.inf).name
    return Entry(name, _label(name, settings), settings, build)


def _label(name: str, settings: Mapping[str, Any]) -> str:
    """What tells an attack from others in a table: "PGD-40", "PGD-40 margin x5"."""
    words = [_LABELS[name]]
    if (count := settings.get("steps", settings.get("queries"))) and name != "fgsm":
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


def _build(message: Kind, field: str, model: HostedModel, targeted: bool, own: dict[str, Tensor]) -> Build:
    match message:
        case pb.Fgsm():
            return partial(fgsm, keep_best=message.keep == pb.KEEP_BEST, loss=_loss(message, field, model, targeted))
        case pb.Pgd():
            return _pgd(message, field, model, targeted, own)
        case pb.Apgd() if message.target_classes:
            most = wire.within(f"{field}.target_classes", message.target_classes, 0, 1000)
            return partial(
                recipes.apgd_t, steps=_steps(message.steps, field, 100), target_classes=most, restarts=_restarts(message.restarts, field)
            )
        case pb.Apgd():
            return partial(
                recipes.apgd,
                steps=_steps(message.steps, field, 100),
                loss=_loss(message, field, model, targeted),
                restarts=_restarts(message.restarts, field),
            )
        case pb.Fab():
            most = wire.within(f"{field}.target_classes", message.target_classes, 1, 1000, default=9)
            return partial(recipes.fab, steps=_steps(message.steps, field, 100), target_classes=most)
        case pb.Square():
            queries = wire.within(f"{field}.queries", message.queries, 1, 100_000, default=5000)
            loss = _loss(message, field, model, targeted, MARGIN)
            return partial(recipes.square, queries=queries, loss=loss, restarts=_restarts(message.restarts, field))
        case pb.AutoAttack():
            return recipes.auto_attack


def _pgd(message: pb.Pgd, field: str, model: HostedModel, targeted: bool, own: dict[str, Tensor]) -> Build:
    step = wire.within(f"{field}.step", message.step, 0.0, float(math.prod(model.network.shape))) if message.HasField("step") else None
    random_start = message.random_start if message.HasField("random_start") else True
    restarts = _restarts(message.restarts, field)
    if restarts > 1 and not random_start:
        raise InvalidField(f"{field}.restarts", f"is {restarts}, must be 1 without a random start: all attempts would be alike")
    return partial(
        pgd,
        step=own.get("step", step),
        steps=own.get("steps", _steps(message.steps, field, 40)),
        random_start=random_start,
        keep_best=message.keep != pb.KEEP_LAST,
        stop_when_fooled=message.stop_when_fooled if message.HasField("stop_when_fooled") else True,
        restarts=restarts,
        decay=wire.within(f"{field}.decay", message.decay, 0.0, 10.0) if message.HasField("decay") else None,
        loss=_loss(message, field, model, targeted),
    )


def _steps(value: int, field: str, default: int) -> int:
    return wire.within(f"{field}.steps", value, 1, 10_000, default=default)


def _restarts(value: int, field: str) -> int:
    return wire.within(f"{field}.restarts", value, 1, 100, default=1)


def _loss(
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
        raise InvalidField(field, f"needs a network of at least {least} classes; {model.name!r} has {model.network.classes}")


def choice(request: pb.AttackRequest) -> Choice | None:
    """How targets are chosen, or None if they are not."""
    if request.target_choice not in _CHOICES:
        raise InvalidField("target_choice", "must be TARGET_CHOICE_RANDOM or TARGET_CHOICE_LEAST_LIKELY")
    if request.target_choice != pb.TARGET_CHOICE_UNSPECIFIED and request.targets:
        raise InvalidField("target_choice", "cannot be given with targets")
    return _CHOICES[request.target_choice]


def unit(request: pb.AttackRequest, model: HostedModel, count: int) -> Aim | None:
    """The unit that is attacked instead of the class, or None."""
    if not request.HasField("unit"):
        return None
    wanted, method = request.unit, request.WhichOneof("method")
    if request.targets or request.target_choice != pb.TARGET_CHOICE_UNSPECIFIED:
        raise InvalidField("unit", "cannot be given with targets")
    if method not in ("fgsm", "pgd", "apgd", "square", "epsilon_search") or (method == "apgd" and request.apgd.target_classes):
        raise InvalidField("unit", "can be attacked by fgsm, pgd, apgd without target classes, square or epsilon_search")
    path = wire.path(wanted.unit, "unit.unit", model)
    if path.unit is None:
        raise InvalidField("unit.unit", "must be of the form layer:unit, layer:unit@row,column or logits:class")
    wire.check_path(path, "unit.unit", model.network.output_shapes[path.layer])
    if wanted.HasField("level") and not math.isfinite(wanted.level):
        raise InvalidField("unit.level", f"is {wanted.level}, must be a finite number")
    level = wanted.level if wanted.HasField("level") else None
    return activation([path] * count, model.network.device), partial(drive if wanted.drive else silence, level=level)


def seeds(request: pb.AttackRequest, count: int) -> list[tuple[int, int]] | None:
    """The rows' own seeds, if they have any."""
    own = request.row_settings.seeds
    if own:
        _one_each(own, "row_settings.seeds", count)
    return [(seed, 0) for seed in own] or None


def curve(request: pb.AttackRequest, model: HostedModel) -> dict[str, Any]:
    """What `interp.curve.epsilon_curve` is given for an EpsilonSearch."""
    message, field = request.epsilon_search, "epsilon_search"
    p = norm(message.norm, f"{field}.norm")
    for name in ("epsilons", "step_sizes", "steps"):
        if getattr(request.row_settings, name):
            raise InvalidField(f"row_settings.{name}", "cannot be given with epsilon_search")
    return {
        "epsilons": rising(message.epsilons, f"{field}.epsilons", p, model, 64),
        "p": p,
        "steps": _steps(message.steps, field, 10),
        "bisections": wire.within(f"{field}.bisections", message.bisections, 0, 20),
        "random_start": message.random_start,
        "loss": _loss(message, field, model, _targeted(request)),
    }


def _targeted(request: pb.AttackRequest) -> bool:
    return bool(request.targets) or request.target_choice != pb.TARGET_CHOICE_UNSPECIFIED


def rising(values: Sequence[float], field: str, p: float, model: HostedModel, most: int) -> list[float]:
    """Radii in rising order, at least one and at most `most`."""
    if not 1 <= len(values) <= most:
        raise InvalidField(field, f"there are {len(values)}, must be from 1 to {most}")
    found = [radius(value, p, f"{field}[{i}]", model) for i, value in enumerate(values)]
    if any(b <= a for a, b in pairwise(found)):
        raise InvalidField(field, "must rise")
    return found


def attack_rows(found: Attacked, minimal: Sequence[float] = ()) -> list[pb.AttackRow]:
    """The verdicts, one message an image; `minimal`: the images' minimal epsilons, infinite where there is none."""
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
    rows = [pb.AttackRow(**dict(zip(known, values, strict=True))) for values in zip(*known.values(), strict=True)]
    for row, epsilon in zip(rows, minimal, strict=False):
        if epsilon < math.inf:
            row.minimal_epsilon = epsilon
    return rows
