"""Between the messages of audits and their values, checked like everything in `wire`."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from interp.audit.conditions import condition, parse
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.audit.statistics import Gate
from interp.audit.tally import CLEAN, Gated
from interp.corruption.augmentation import AUGMENTATIONS
from interp.corruption.imagenet_c import CORRUPTIONS, SEVERITIES
from service.audit.assignment import Assignment, Progress
from service.datasets import Dataset, class_indices
from service.datasets.uploads import UPLOADED
from service.models.zoo import HostedModel
from service.rpc.validation import MOST_NAME, InvalidField, required, short, within
from service.rpc.wire import attack_methods as wire_methods
from striate.v1 import attack_pb2, types_pb2
from striate.v1 import audit_pb2 as pb

MOST_MODELS, MOST_THREATS, MOST_EPSILONS, MOST_ATTACKS, MOST_GATES = 8, 8, 32, 16, 64
DEFAULT_LEVELS = (1, 2, 4, 8)  # epsilons of the default threat model, in 255ths
_CODES = {math.inf: attack_pb2.NORM_LINF, 2.0: attack_pb2.NORM_L2, 1.0: attack_pb2.NORM_L1}
_VERDICTS = {
    "pass": pb.GATE_VERDICT_PASS,
    "fail": pb.GATE_VERDICT_FAIL,
    "open": pb.GATE_VERDICT_OPEN,
}


def model_names(request: pb.AuditRequest) -> list[str]:
    """The names of the models, all different."""
    if not 1 <= len(request.models) <= MOST_MODELS:
        raise InvalidField(
            "models", f"there are {len(request.models)}, must be from 1 to {MOST_MODELS}"
        )
    for number, name in enumerate(request.models):
        required(f"models[{number}]", name)
        if name in request.models[:number]:
            raise InvalidField(f"models[{number}]", f"is {name!r} once more")
    return list(request.models)


def assignment(
    request: pb.AuditRequest, models: Sequence[HostedModel], dataset: Dataset, chunk: int
) -> Assignment:
    """Everything that an audit is to do, with every default filled in.

    Args:
        models: those of `model_names`, in order.
        dataset: the one that the request names.
        chunk: images of a deterministic pass.
    """
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
        _gray_or_colour(models)
    confidence = _decimal(within("confidence", request.confidence, 0.5, 1.0, default=0.95))
    if not 0.5 < confidence < 1:
        raise InvalidField("confidence", f"is {confidence:g}, must be above 0.5 and below 1")
    return Assignment(
        models=tuple(models),
        dataset=dataset,
        classes=_classes(models, dataset),
        plan=plan,
        images=min(request.limit or len(dataset), len(dataset)),
        confidence=confidence,
        gates=tuple(_gates(request.gates, models, plan.threats, confidence)),
        budget=request.budget_gradients,
        shard=within("shard_images", request.shard_images, 8, 1024, default=64),
        checked=not request.skip_checks,
        chunk=chunk,
    )


def _classes(models: Sequence[HostedModel], dataset: Dataset) -> tuple[int, ...]:
    """For each label of the data set the class of the models."""
    if not dataset.labelled:
        raise InvalidField(
            "dataset", f"{dataset.name!r} has no labels: an audit needs to know what is right"
        )
    if not len(dataset):
        raise InvalidField("dataset", f"{dataset.name!r} has no images")
    first, known = models[0], list[int]()
    for number, model in enumerate(models):
        if model.network.classes < 2:
            raise InvalidField(
                f"models[{number}]",
                f"{model.name!r} has one class: there is nothing to take it for",
            )
        if model.network.classes != first.network.classes:
            counts = (
                f"{model.name!r} has {model.network.classes} classes, {first.name!r} "
                f"{first.network.classes}"
            )
            raise InvalidField(
                f"models[{number}]", f"{counts}: networks that are compared need the same"
            )
        found = _indices(dataset, model)
        if -1 in found:
            raise InvalidField("dataset", _unmatched(dataset, model, found))
        if number and found != known:
            raise InvalidField(
                f"models[{number}]",
                f"{model.name!r} has its classes in another order than {first.name!r}",
            )
        known = found
    return tuple(known)


def _indices(dataset: Dataset, model: HostedModel) -> list[int]:
    """For each label the class of a model, or -1: by name, or for a caller's own images without
    names by number, as in an attack.
    """
    if not dataset.classes and dataset.uri.startswith(UPLOADED):
        return [
            label if label < model.network.classes else -1 for label in range(dataset.label_count)
        ]
    return class_indices(dataset.classes, model.classes, dataset.label_count)


def _unmatched(dataset: Dataset, model: HostedModel, found: Sequence[int]) -> str:
    missing = [label for label, index in enumerate(found) if index < 0]
    shown = ", ".join(
        repr(dataset.classes[label]) if dataset.classes else str(label) for label in missing[:5]
    )
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return f"{dataset.name!r} has labels that no one class of {model.name!r} matches: {shown}{more}"


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
        p = wire_methods.norm(message.norm, f"{field}.norm")
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
        wire_methods.rising(values, field, p, model, MOST_EPSILONS)
    found = tuple(pixels(value) for value in values)
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
        entries = [
            wire_methods.entry(message, f"attacks[{number}]", model) for model in models
        ]  # each model has its own limits
        alike = sum(entry.label.split(" #")[0] == entries[0].label for entry in found)
        found.append(
            entries[0]._replace(label=f"{entries[0].label} #{alike + 1}") if alike else entries[0]
        )
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


def _gray_or_colour(models: Sequence[HostedModel]) -> None:
    for number, model in enumerate(models):
        if model.network.shape[0] not in (1, 3):
            raise InvalidField(
                f"models[{number}]",
                f"{model.name!r} takes {model.network.shape[0]} channels; corruptions know 1 and 3",
            )


def _gates(
    messages: Sequence[pb.Gate],
    models: Sequence[HostedModel],
    threats: Sequence[Threat],
    confidence: float,
) -> Iterator[Gated]:
    if len(messages) > MOST_GATES:
        raise InvalidField("gates", f"there are {len(messages)}, must be at most {MOST_GATES}")
    names, error = [model.name for model in models], 1 - confidence
    for number, message in enumerate(messages):
        field = f"gates[{number}]"
        if not 0 < message.bar < 1:
            raise InvalidField(f"{field}.bar", f"is {message.bar:g}, must be above 0 and below 1")
        if message.model and message.model not in names:
            shown = short(f"{field}.model", message.model)
            raise InvalidField(
                f"{field}.model", f"is {shown!r}, must be one of the audit's: {', '.join(names)}"
            )
        at = _condition(message, field, threats)
        for network, name in enumerate(names):
            if message.model in ("", name):
                yield Gated(network, at, Gate(_decimal(message.bar), error, error))


def _condition(message: pb.Gate, field: str, threats: Sequence[Threat]) -> str:
    """What a gate is about: "clean", or an epsilon of a threat model, by its name."""
    p = wire_methods.norm(message.norm, f"{field}.norm")
    if message.epsilon == 0:
        return CLEAN
    known = [condition(threat.p, epsilon) for threat in threats for epsilon in threat.epsilons]
    at = condition(p, pixels(message.epsilon)) if 0 < message.epsilon < math.inf else ""
    if at not in known:
        raise InvalidField(
            f"{field}.epsilon",
            f"is {message.epsilon:g}; with its norm it must be one of the audit's: "
            f"{', '.join(known)}",
        )
    return at


def pixels(value: float) -> float:
    """A radius that came as float32 as the number that was meant: a quarter of a level (k/1020), or
    the shortest decimal.
    """
    quarters = round(value * 1020) / 1020
    return quarters if np.float32(quarters) == np.float32(value) else _decimal(value)


def _decimal(value: float) -> float:
    """The shortest decimal that is this number in float32."""
    return float(str(np.float32(value)))


def metadata(request: pb.AuditRequest, progress: Progress) -> pb.AuditMetadata:
    """How far an audit is, as message."""
    return pb.AuditMetadata(
        models=request.models,
        dataset=request.dataset,
        images_done=progress.images,
        images_total=progress.total,
        gradients=progress.gradients,
        seconds_left=progress.seconds_left,
        stage=progress.stage,
    )


def response(text: str) -> pb.AuditResponse:
    """The outcome of an audit, by its report as JSON."""
    report = json.loads(text)
    version = report["versions"]["striate"]
    return pb.AuditResponse(
        verdict=pb.AUDIT_VERDICT_VALID
        if report["verdict"] == "valid"
        else pb.AUDIT_VERDICT_SUSPECT,
        report_json=text,
        gates=[_outcome(gate) for gate in report["gates"]],
        provenance=[
            types_pb2.Provenance(
                model=network["name"], model_digest=network["digest"], service_version=version
            )
            for network in report["networks"]
        ],
    )


def _outcome(gate: Mapping[str, Any]) -> pb.GateOutcome:
    p, epsilon = (math.inf, 0.0) if gate["condition"] == CLEAN else parse(gate["condition"])
    return pb.GateOutcome(
        gate=pb.Gate(model=gate["network"], norm=_CODES[p], epsilon=epsilon, bar=gate["bar"]),
        verdict=_VERDICTS[gate["verdict"]],
        images=gate["decided_after"],
        robust=gate["rate"]["successes"],
    )
