"""What an audit is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from striate._requests.attack_method import NORMS, attack_method
from striate._requests.share import share_words
from striate._rpc.checks import choice, listed, number, optional_whole, seed_value, whole
from striate.attacks import Attack, EpsilonSearch, named_attack
from striate.attacks.base import check_rising
from striate.attacks.epsilons import fraction, read_condition
from striate.errors import invalid
from striate.v1 import audit_pb2 as pb
from striate.v1.attack_pb2 import NORM_UNSPECIFIED, AttackMethod

Threats = Mapping[str, Iterable[float | str] | float | str]  # norm -> radii
Gates = Mapping[str, float]  # "clean", "linf:8/255" or "MODEL@linf:8/255" -> the least accuracy

_MOST_EPSILONS = 32
_BIG = 2**64 - 1


def audit_request(
    models: Sequence[str],
    dataset: str,
    *,
    threats: Threats | None,
    attacks: Iterable[Attack | str] | None,
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
    skip_bad: bool,
    mce_reference: str | None,
    share: str | Iterable[str],
) -> pb.AuditRequest:
    """Makes the request of Service.audit, whose arguments it takes.

    Returns:
        The request.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
    """
    if confidence is not None and not 0.5 < number("confidence", confidence, 0.5, 1) < 1:
        raise invalid("confidence", f"must be above 0.5 and below 1, is {confidence}")
    damages = _names("corruptions", corruptions)
    return pb.AuditRequest(
        models=models,
        dataset=dataset,
        limit=whole("limit", limit, 0, _BIG),
        threats=[
            _threat(norm, radii) for norm, radii in _pairs("threats", threats, "norm -> radii")
        ],
        attacks=[
            _attack(attack, f"attacks[{place}]")
            for place, attack in enumerate(_each("attacks", attacks or ()))
        ],
        corruptions=damages,
        severities=[
            whole(f"severities[{place}]", severity, 1, 5)
            for place, severity in enumerate(_each("severities", severities))
        ],
        augmentations=_names("augmentations", augmentations),
        seed=seed_value("seed", seed),
        confidence=confidence or 0.0,
        gates=[
            _gate(condition, bar, models)
            for condition, bar in _pairs("gates", gates, "condition -> least accuracy")
        ],
        budget_gradients=whole("budget_gradients", budget_gradients, 0, _BIG),
        float_images=float_images,
        shard_images=optional_whole("shard_images", shard_images, 8, 1024),
        skip_checks=skip_checks,
        skip_bad=skip_bad,
        mce_reference=_reference(mce_reference, damages),
        share=share_words(share),
    )


def as_models(models: str | Sequence[str]) -> list[str]:
    """Takes the name of one model, or the names of several.

    Args:
        models: The name or names.

    Returns:
        The names.

    Raises:
        InvalidArgument: There are none.
    """
    names = [models] if isinstance(models, str) else list(_each("models", models))
    if not names or not all(isinstance(name, str) and name for name in names):
        raise invalid("models", "must be the names of one model or more")
    return names


def _threat(norm: str, radii: Iterable[float | str] | float | str) -> pb.ThreatModel:
    field = f"threats[{norm!r}]"
    code = choice("threats", norm, NORMS)
    given = [radii] if isinstance(radii, str | Real) else listed(field, radii, "radii in order")
    values = [fraction(field, value) if isinstance(value, str) else value for value in given]
    epsilons = check_rising(field, values, norm, _MOST_EPSILONS)
    if epsilons[0] == 0:
        raise invalid(field, "must be above 0: the clean accuracy is always measured")
    return pb.ThreatModel(norm=code, epsilons=epsilons)


def _attack(attack: Attack | str, field: str) -> AttackMethod:
    chosen = named_attack(field, attack)
    if isinstance(chosen, EpsilonSearch):
        raise invalid(
            field, "must not be an EpsilonSearch: an audit itself goes through its epsilons"
        )
    return attack_method(chosen, field)


def _pairs(field: str, values: Mapping[str, Any] | None, form: str) -> Iterable[tuple[str, Any]]:
    if values is not None and not isinstance(values, Mapping):
        raise invalid(field, f"must be a mapping, {form}; is {values!r}")
    return (values or {}).items()


def _each(field: str, values: Iterable[Any]) -> Iterable[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise invalid(field, f"must be a list, is {values!r}")
    return values


def _names(field: str, names: str | Iterable[str]) -> list[str]:
    found = [names] if isinstance(names, str) else list(_each(field, names))
    if not all(isinstance(name, str) and name for name in found):
        raise invalid(field, f'must be names, or "all"; are {found!r}')
    return found


def _reference(name: str | None, corruptions: Sequence[str]) -> str:
    if name is None:
        return ""
    if not isinstance(name, str) or not name:
        raise invalid("mce_reference", f"must be the name of a model, is {name!r}")
    if not corruptions:
        raise invalid("mce_reference", 'needs corruptions: name some, or "all"')
    return name


def _gate(text: str, bar: float, models: Sequence[str]) -> pb.Gate:
    field = f"gates[{text!r}]"
    if not isinstance(text, str):
        raise invalid(field, 'must be "clean" or "NORM:EPSILON"')
    condition = read_condition(text, field)
    if condition.model and condition.model not in models:
        raise invalid(field, f"names no model of the audit, which are {', '.join(models)}")
    if not 0 < number(field, bar, most=1) < 1:
        raise invalid(field, f"must be above 0 and below 1, is {bar}")
    norm = NORMS[condition.norm] if condition.norm else NORM_UNSPECIFIED
    return pb.Gate(model=condition.model, norm=norm, epsilon=condition.epsilon, bar=bar)
