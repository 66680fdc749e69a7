"""From the messages of gates to gates."""

import math
from collections.abc import Iterator, Sequence

from interp.audit.conditions import condition
from interp.audit.plan import Threat
from interp.audit.statistics import Gate
from interp.audit.tally import CLEAN, NetworkGate
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, short
from service.rpc.wire.robustness import threat_model as wire_threat_model
from striate.v1 import audit_pb2 as pb

MOST_GATES = 64


def read_gates(
    messages: Sequence[pb.Gate],
    models: Sequence[HostedModel],
    threats: Sequence[Threat],
    confidence: float,
) -> Iterator[NetworkGate]:
    """Read the gates of an audit, at most 64; one without a model is one for each.

    Args:
        messages: as they came.
        models: the audit's.
        threats: the audit's; a gate is about one of their epsilons, or the clean images.
        confidence: of the gates, above 0.5 and below 1.

    Raises:
        InvalidField: a gate is about nothing that the audit measures, or its bar is out of range.
    """
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
                yield NetworkGate(network, at, Gate(message.bar, error, error))


def _condition(message: pb.Gate, field: str, threats: Sequence[Threat]) -> str:
    """What a gate is about: "clean", or an epsilon of a threat model, by its name."""
    p = wire_threat_model.read_norm(message.norm, f"{field}.norm")
    if message.epsilon == 0:
        return CLEAN
    known = [condition(threat.p, epsilon) for threat in threats for epsilon in threat.epsilons]
    at = condition(p, message.epsilon) if 0 < message.epsilon < math.inf else ""
    if at not in known:
        raise InvalidField(
            f"{field}.epsilon",
            f"is {message.epsilon:g}; with its norm it must be one of the audit's: "
            f"{', '.join(known)}",
        )
    return at
