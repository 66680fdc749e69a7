"""From the requests of audits to assignments, checked in every setting."""

import math
from collections.abc import Iterable, Mapping, Sequence

from interp.audit.conditions import condition
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.corruption.augmentation import AUGMENTATIONS
from interp.corruption.imagenet_c import CORRUPTIONS, SEVERITIES
from service.audit.spec import AuditSpec
from service.datasets import Dataset
from service.models.zoo import HostedModel
from service.rpc.validation import MOST_NAME, InvalidField, required, short, within
from service.rpc.wire.robustness import attack_methods as wire_methods
from service.rpc.wire.robustness import audit_classes as wire_classes
from service.rpc.wire.robustness import audit_gates as wire_gates
from service.rpc.wire.robustness import threat_model as wire_threat_model
from striate.v1 import attack_pb2
from striate.v1 import audit_pb2 as pb

MOST_MODELS, MOST_THREATS, MOST_EPSILONS, MOST_ATTACKS = 8, 8, 32, 16
MOST_CONDITIONS = 64  # corruptions, severities and augmentations by name, of each
DEFAULT_LEVELS = (1, 2, 4, 8)  # epsilons of the default threat model, in 255ths


def read_model_names(request: pb.AuditRequest) -> list[str]:
    """Read the names of the models, from one to eight, all different.

    Args:
        request: as it was sent.

    Returns:
        The names, in the request's order.

    Raises:
        InvalidField: there are too few or too many, or a name is empty, long or there twice.
    """
    if not 1 <= len(request.models) <= MOST_MODELS:
        raise InvalidField(
            "models", f"there are {len(request.models)}, must be from 1 to {MOST_MODELS}"
        )
    for number, name in enumerate(request.models):
        required(f"models[{number}]", name)
        if name in request.models[:number]:
            raise InvalidField(f"models[{number}]", f"is {name!r} once more")
    return list(request.models)


def read_reference_name(request: pb.AuditRequest) -> str:
    """Read the name of the network whose errors are the unit of corruption errors.

    Args:
        request: as it was sent.

    Returns:
        The name; "" without any.

    Raises:
        InvalidField: the name is too long, or there are no corruptions to err on.
    """
    if request.mce_reference and not request.corruptions:
        raise InvalidField(
            "mce_reference",
            'needs corruptions, of which there are none: name some in corruptions, or "all"',
        )
    return short("mce_reference", request.mce_reference)


def read_audit(
    request: pb.AuditRequest,
    models: Sequence[HostedModel],
    dataset: Dataset,
    chunk: int,
    reference: HostedModel | None = None,
) -> AuditSpec:
    """Read everything that an audit is to do, with every default filled in.

    Args:
        request: what is asked for.
        models: those of `read_model_names`, in order.
        dataset: the one that the request names.
        chunk: images of a deterministic pass.
        reference: the one of `read_reference_name`, one of the models or another.

    Raises:
        InvalidField: a setting is out of range, or models, data set and settings do not fit.
    """
    judged = {f"models[{number}]": model for number, model in enumerate(models)}
    if reference is not None:
        judged["mce_reference"] = reference
    plan = Plan(
        threats=_threats(request.threats, models),
        attacks=_attacks(request.attacks, models),
        corruptions=_names("corruptions", request.corruptions, CORRUPTIONS),
        severities=_severities(request),
        augmentations=_names("augmentations", request.augmentations, AUGMENTATIONS),
        seed=request.seed,
        eight_bit=not request.float_images,
    )
    if plan.corruptions or plan.augmentations:
        _gray_or_colour(judged)
    confidence = within("confidence", request.confidence, 0.5, 1.0, default=0.95)
    if not 0.5 < confidence < 1:
        raise InvalidField("confidence", f"is {confidence:g}, must be above 0.5 and below 1")
    return AuditSpec(
        models=tuple(models),
        dataset=dataset,
        classes=wire_classes.match_classes(judged, dataset),
        plan=plan,
        images=min(request.limit or len(dataset), len(dataset)),
        confidence=confidence,
        gates=tuple(wire_gates.read_gates(request.gates, models, plan.threats, confidence)),
        budget=request.budget_gradients,
        shard=within("shard_images", request.shard_images, 8, 1024, default=64),
        checked=not request.skip_checks,
        chunk=chunk,
        mce_reference=reference,
    )


def _threats(
    messages: Sequence[pb.ThreatModel], models: Sequence[HostedModel]
) -> tuple[Threat, ...]:
    if len(messages) > MOST_THREATS:
        raise InvalidField("threats", f"there are {len(messages)}, must be at most {MOST_THREATS}")
    if not messages:
        return (Threat(math.inf, tuple(level / 255 for level in DEFAULT_LEVELS)),)
    found: list[Threat] = []
    for number, message in enumerate(messages):
        field = f"threats[{number}]"
        p = wire_threat_model.read_norm(message.norm, f"{field}.norm")
        if any(p == threat.p for threat in found):
            raise InvalidField(
                f"{field}.norm", "is that of another threat model: one holds all epsilons of a norm"
            )
        found.append(Threat(p, _epsilons(message.epsilons, f"{field}.epsilons", p, models)))
    return tuple(found)


def _epsilons(
    values: Sequence[float], field: str, p: float, models: Sequence[HostedModel]
) -> tuple[float, ...]:
    for model in models:
        wire_threat_model.read_epsilons(values, field, p, model, MOST_EPSILONS)
    found = tuple(values)
    if found[0] <= 0:
        raise InvalidField(
            f"{field}[0]", "is 0, must be above 0: the clean accuracy is always measured"
        )
    if len({condition(p, value) for value in found}) < len(found):
        raise InvalidField(field, "has values that are equal in six digits")
    return found


def _attacks(
    messages: Sequence[attack_pb2.AttackMethod], models: Sequence[HostedModel]
) -> tuple[PlannedAttack, ...]:
    if len(messages) > MOST_ATTACKS:
        raise InvalidField("attacks", f"there are {len(messages)}, must be at most {MOST_ATTACKS}")
    default = (
        attack_pb2.AttackMethod(pgd=attack_pb2.Pgd(steps=40)),
        attack_pb2.AttackMethod(apgd=attack_pb2.Apgd(steps=50, loss=attack_pb2.LOSS_MARGIN)),
    )
    found: list[PlannedAttack] = []
    for number, message in enumerate(messages or default):
        field = f"attacks[{number}]"
        method, *_ = [  # each model has its own limits
            wire_methods.read_method(message, field, wire_methods.Target(model)) for model in models
        ]
        alike = sum(entry.method.label == method.label for entry in found)
        label = f"{method.label} #{alike + 1}" if alike else method.label
        found.append(PlannedAttack(label, method))
    return tuple(found)


def _names(field: str, values: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    known = tuple(known)
    if list(values) == ["all"]:
        return known
    for number, value in enumerate(values):
        if value not in known:
            raise InvalidField(
                f"{field}[{number}]",
                f'is {value[:MOST_NAME]!r}, must be "all" alone or one of {", ".join(known)}',
            )
    return tuple(name for name in known if name in values)


def _severities(request: pb.AuditRequest) -> tuple[int, ...]:
    for number, value in enumerate(request.severities):
        within(f"severities[{number}]", value, 1, SEVERITIES)
    if request.severities and not request.corruptions:
        raise InvalidField("severities", "are those of corruptions, of which there are none")
    return tuple(sorted(set(request.severities))) or tuple(range(1, SEVERITIES + 1))


def _gray_or_colour(models: Mapping[str, HostedModel]) -> None:
    for field, model in models.items():
        if model.network.shape[0] not in (1, 3):
            raise InvalidField(
                field,
                f"{model.name!r} takes {model.network.shape[0]} channels; corruptions know 1 and 3",
            )
