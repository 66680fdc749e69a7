"""What a stream of attacks returns, image by image."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from striate._formats import pictures
from striate._formats.tensors import read_float32
from striate.errors import Internal, StriateError, from_status
from striate.results.attack.failure import RowFailure
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class AttackRow:
    """The outcome of an attack on one image. What does not apply is None.

    Attributes:
        label: The label that was attacked.
        clean_prediction: The network's prediction on the clean image.
        prediction: Its prediction on the returned image.
        succeeded: Untargeted: the prediction differs from the label. Targeted: the prediction is
            the target. A unit: its activation is past the level.
        norm: Size of the perturbation in the attack's norm and pixel units.
        target: Class that the image should be taken for.
        clean_activation: Activation of the unit that was attacked on the clean image.
        activation: Its activation on the returned image.
        minimal_epsilon: Of an EpsilonSearch: the least radius at which an image was found that
            fools, 0 if the clean one does, None if none does.
        noise_prediction: Prediction under random noise of the same norm.
        noise_succeeded: Whether that noise alone succeeded.
        noise_norm: Its size.
        no_freedom: The ball holds no 8-bit image but the clean one.
        failure: Why the image has no outcome: on it the network's answer is no number. It is
            neither fooled nor robust: `succeeded` is false, the image is the clean one, and
            predictions that are not known are -1. None if it was answered.
    """

    label: int
    clean_prediction: int
    prediction: int
    succeeded: bool
    norm: float
    target: int | None = None
    clean_activation: float | None = None
    activation: float | None = None
    minimal_epsilon: float | None = None
    noise_prediction: int | None = None
    noise_succeeded: bool | None = None
    noise_norm: float | None = None
    no_freedom: bool = False
    failure: RowFailure | None = None

    @staticmethod
    def read(message: pb.AttackRow, index: int) -> AttackRow:
        """Reads the message of the contract.

        Args:
            message: The server's message.
            index: Number of the image.

        Raises:
            Internal: The message holds what this client does not know.
        """
        always = ("label", "clean_prediction", "prediction", "succeeded", "norm", "no_freedom")
        values: dict[str, Any] = {name: getattr(message, name) for name in always}
        failure = None
        if message.HasField("failure"):
            failure = RowFailure.read(message.failure, index)
            if failure.on_clean_logits:
                values |= {"clean_prediction": -1, "prediction": -1}
        handled = (*always, "failure")
        others = {one.name: value for one, value in message.ListFields() if one.name not in handled}
        return AttackRow(**values | others, failure=failure)


@dataclass(frozen=True, eq=False)
class StreamedImage:
    """One image of a stream, attacked.

    Attributes:
        id: The image's number, counted from the stream's `first_id`.
        row: The attack's outcome, None with an error.
        error: What is wrong with this image, None if nothing is.
        png: The adversarial image as a PNG file in png format, else empty.
        warnings: Why the outcome might not be what it seems.
    """

    id: int
    row: AttackRow | None
    error: StriateError | None = None
    png: bytes = field(default=b"", repr=False)
    warnings: tuple[str, ...] = ()
    _floats: NDArray[np.float32] | None = field(default=None, repr=False)

    @staticmethod
    def read(message: pb.AttackStreamResponse) -> StreamedImage:
        """Reads the message of the contract.

        Args:
            message: The server's message.

        Raises:
            Internal: The message holds no outcome, or no image.
        """
        if message.HasField("error"):
            return StreamedImage.failed(message.id, from_status(message.error))
        attacked = message.attacked
        if not message.HasField("attacked") or not (attacked.png or attacked.HasField("image")):
            raise Internal(f"the server answered image {message.id} without an outcome")
        floats = None if attacked.png else read_float32(attacked.image)[0]
        return StreamedImage(
            id=message.id,
            row=AttackRow.read(attacked.row, message.id),
            png=attacked.png,
            warnings=tuple(attacked.warnings),
            _floats=floats,
        )

    @staticmethod
    def failed(identity: int, error: StriateError) -> StreamedImage:
        """Makes the outcome of an image that could not be attacked.

        Args:
            identity: The image's number.
            error: What is wrong with it.
        """
        return StreamedImage(identity, None, error)

    @cached_property
    def image(self) -> NDArray[np.float32]:
        """The adversarial image, (C, H, W) float32 in [0, 1], in either format.

        Raises:
            StriateError: `error`, if there is one.
        """
        if self.error is not None:
            raise self.error
        return (
            pictures.to_floats(pictures.decode(self.png)) if self._floats is None else self._floats
        )

    def _repr_png_(self) -> bytes | None:
        return (
            None
            if self.error is not None
            else self.png or pictures.encode_png(pictures.from_floats(self.image))
        )
