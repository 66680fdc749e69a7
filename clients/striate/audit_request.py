"""What an audit is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from striate.attack_request import SEEDS
from striate.attack_wire import NORMS, audit_attack
from striate.attacks import AuditAttack, rising
from striate.checks import choice, whole
from striate.epsilons import fraction, read_condition
from striate.errors import invalid
from striate.v1 import audit_pb2 as pb
from striate.v1.attack_pb2 import NORM_UNSPECIFIED

Threats = Mapping[str, Iterable[float | str] | float | str]  # norm -> radii
Gates = Mapping[str, float]  # "clean", "linf:8/255" or "MODEL@linf:8/255" -> the least accuracy

_MOST_EPSILONS = 32
_BIG = 2**64 - 1


def build(
    models: Sequence[str],
    dataset: str,
    *,
    threats: Threats | None,
    attacks: Iterable[AuditAttack] | None,
    corruptions: str | Iterable[str],
    severities: Iterable[int],
    augmentations: str | Iterable[str],
    limit: int,
    seed: int,
    confidence: float | None,
    gates: Gates | None,
    budget_gradients: int,
    float_images: bool,
    shard_images: int | None,
    skip_checks: bool,
) -> pb.AuditRequest:
    """The request, see Service.audit. Raises InvalidArgument, naming the field."""
    if confidence is not None and not 0.5 < confidence < 1:
        raise invalid("confidence", f"must be above 0.5 and below 1, is {confidence}")
    return pb.AuditRequest(
        models=models,
        dataset=dataset,
        limit=whole("limit", limit, 0, _BIG),
        threats=[_threat(norm, radii) for norm, radii in (threats or {}).items()],
        attacks=[audit_attack(attack, f"attacks[{place}]") for place, attack in enumerate(attacks or ())],
        corruptions=_names("corruptions", corruptions),
        severities=[whole(f"severities[{place}]", severity, 1, 5) for place, severity in enumerate(severities)],
        augmentations=_names("augmentations", augmentations),
        seed=whole("seed", seed, 0, SEEDS),
        confidence=confidence or 0.0,
        gates=[_gate(condition, bar, models) for condition, bar in (gates or {}).items()],
        budget_gradients=whole("budget_gradients", budget_gradients, 0, _BIG),
        float_images=float_images,
        shard_images=0 if shard_images is None else whole("shard_images", shard_images, 8, 1024),
        skip_checks=skip_checks,
    )


def as_models(models: str | Sequence[str]) -> list[str]:
    """The names, of one model or of several. Raises InvalidArgument for none."""
    names = [models] if isinstance(models, str) else list(models)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise invalid("models", "must be the names of one model or more")
    return names


def _threat(norm: str, radii: Iterable[float | str] | float | str) -> pb.ThreatModel:
    field = f"threats[{norm!r}]"
    number = choice("threats", norm, NORMS)
    given: Iterable[Any] = [radii] if isinstance(radii, str) or not isinstance(radii, Iterable) else radii
    values = [fraction(field, value) if isinstance(value, str) else value for value in given]
    epsilons = rising(field, values, norm, _MOST_EPSILONS)
    if epsilons[0] == 0:
        raise invalid(field, "must be above 0: the clean accuracy is always measured")
    return pb.ThreatModel(norm=number, epsilons=epsilons)


def _names(field: str, names: str | Iterable[str]) -> list[str]:
    found = [names] if isinstance(names, str) else list(names)
    if not all(isinstance(name, str) and name for name in found):
        raise invalid(field, f'must be names, or "all"; are {found!r}')
    return found


def _gate(text: str, bar: float, models: Sequence[str]) -> pb.Gate:
    field = f"gates[{text!r}]"
    condition = read_condition(text, field)
    if condition.model and condition.model not in models:
        raise invalid(field, f"names no model of the audit, which are {', '.join(models)}")
    if not 0 < bar < 1:
        raise invalid(field, f"must be above 0 and below 1, is {bar}")
    norm = NORMS[condition.norm] if condition.norm else NORM_UNSPECIFIED
    return pb.Gate(model=condition.model, norm=norm, epsilon=condition.epsilon, bar=bar)
