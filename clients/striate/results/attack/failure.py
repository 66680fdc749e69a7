"""Why an image of an attack has no outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from striate.errors import Internal
from striate.v1 import attack_pb2 as pb

FailureKindName = Literal["gradient", "logits", "activation"]

_KINDS: dict[int, FailureKindName] = {
    pb.FAILURE_KIND_GRADIENT: "gradient",
    pb.FAILURE_KIND_LOGITS: "logits",
    pb.FAILURE_KIND_ACTIVATION: "activation",
}


@dataclass(frozen=True)
class RowFailure:
    """An image on which the network's answer is no number: it is neither fooled nor robust, and
    counts in no accuracy.

    Attributes:
        index: Its number in the batch, from 0; in a stream its id.
        kind: What is infinite or not a number: the "gradient" with respect to the pixels, the
            "logits", or the "activation" of the unit that is attacked.
        step: Gradient step or query of the search, from 1, at or after which that was found; 0: on
            the clean image.
        epsilon: Of an EpsilonSearch: the radius at which it was found, 0 on the clean image;
            smaller ones were withstood. None for other attacks.
        message: The same as a sentence.
    """

    index: int
    kind: FailureKindName
    step: int
    epsilon: float | None
    message: str

    @staticmethod
    def read(message: pb.RowFailure, index: int) -> RowFailure:
        """Reads the message of the contract.

        Args:
            message: The server's message.
            index: Number of the image.

        Raises:
            Internal: The kind is one that this client does not know.
        """
        if message.kind not in _KINDS:
            raise Internal(f"the server sent a failure that this client does not know: {message}")
        return RowFailure(
            index=index,
            kind=_KINDS[message.kind],
            step=message.step,
            epsilon=message.epsilon if message.HasField("epsilon") else None,
            message=message.message,
        )

    @property
    def on_clean_logits(self) -> bool:
        """Whether the clean image has no prediction."""
        return self.kind == "logits" and self.step == 0

    def __str__(self) -> str:
        return self.message
