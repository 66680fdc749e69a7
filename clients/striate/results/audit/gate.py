"""A least accuracy that was asked for of an audit, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from striate.attacks.epsilons import condition_name
from striate.errors import Internal
from striate.v1 import attack_pb2, audit_pb2

GateVerdictName = Literal["pass", "fail", "open"]

_GATES: dict[int, GateVerdictName] = {
    audit_pb2.GATE_VERDICT_PASS: "pass",
    audit_pb2.GATE_VERDICT_FAIL: "fail",
    audit_pb2.GATE_VERDICT_OPEN: "open",
}
_NORMS = {
    attack_pb2.NORM_UNSPECIFIED: "linf",
    attack_pb2.NORM_LINF: "linf",
    attack_pb2.NORM_L2: "l2",
    attack_pb2.NORM_L1: "l1",
}


@dataclass(frozen=True)
class Gate:
    """A least accuracy that was asked for, and whether it was reached.

    Attributes:
        model: Name of the model.
        condition: "clean", or a norm and a radius such as "linf:8/255".
        bar: The least accuracy, 0 to 1.
        verdict: "pass" or "fail" at the audit's confidence, "open" if the images do not decide it.
        decided_after: Images after which it was decided; all of them if it was not.
        images: Images that the audit judged in all.
        robust: How many of them withstood.
    """

    model: str
    condition: str
    bar: float
    verdict: GateVerdictName
    decided_after: int
    images: int
    robust: int

    @property
    def share(self) -> float:
        """The accuracy that was measured, 0 to 1; 0 without images."""
        return self.robust / self.images if self.images else 0.0

    @property
    def missed(self) -> bool:
        """Whether the bar is missed: for certain, or as measured where the images are too few."""
        return self.verdict == "fail" or (self.verdict == "open" and self.share < self.bar)

    @staticmethod
    def read(message: audit_pb2.GateOutcome, images: int) -> Gate:
        """Reads the message of the contract.

        Args:
            message: A gate and its outcome.
            images: Images that the audit judged in all.

        Raises:
            Internal: The verdict is one that this client does not know.
        """
        gate = message.gate
        condition = condition_name(_NORMS[gate.norm] if gate.epsilon else "", gate.epsilon)
        return Gate(
            model=gate.model,
            condition=condition,
            bar=gate.bar,
            verdict=known_word(_GATES, message.verdict),
            decided_after=message.images,
            images=images,
            robust=message.robust,
        )


def gate_row(gate: Gate) -> tuple[str, ...]:
    """Writes a gate for a table.

    Args:
        gate: The gate and its outcome.

    Returns:
        Its cells under `audit_table.GATE_HEADER`.
    """
    after = "" if gate.verdict == "open" else f"after {gate.decided_after}"
    return (
        gate.model,
        gate.condition,
        f"{gate.bar:.1%}",
        f"{gate.robust} of {gate.images}",
        f"{gate.share:.1%}",
        gate.verdict,
        after,
    )


def known_word(words: dict[int, Any], value: int) -> Any:
    """Finds the word of an enum's value.

    Args:
        words: The words of the values that this client knows.
        value: The value that the server sent.

    Returns:
        The word.

    Raises:
        Internal: The value is one of a later server.
    """
    if value not in words:
        raise Internal(f"the server sent a verdict that this client does not know: {value}")
    return words[value]
