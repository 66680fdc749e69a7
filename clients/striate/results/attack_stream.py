"""What a stream of attacks hands out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from striate._formats import pictures
from striate._formats.tensors import read_float32
from striate.errors import Internal, StriateError, from_status
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class AttackRow:
    """The verdict on one image; what does not apply is None.

    label: the label attacked; clean_prediction, prediction: the network's on the clean and on the
    returned image; succeeded: untargeted, prediction differs from label; targeted, prediction is
    the target; a unit, its activation is past the level; norm: size of the perturbation in the
    attack's norm and pixel units; target: class that the image should be taken for;
    clean_activation, activation: of the unit attacked; minimal_epsilon: of an EpsilonSearch;
    noise_prediction, noise_succeeded, noise_norm: of the noise control; no_freedom: the ball holds
    no 8-bit image but the clean one.
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

    @staticmethod
    def read(message: pb.AttackRow) -> AttackRow:
        always = ("label", "clean_prediction", "prediction", "succeeded", "norm", "no_freedom")
        known: dict[str, Any] = {name: getattr(message, name) for name in always}
        return AttackRow(
            **known
            | {one.name: value for one, value in message.ListFields() if one.name not in always}
        )


@dataclass(frozen=True, eq=False)
class StreamedImage:
    """The outcome of one image of a stream.

    id: its number, counted from the stream's first_id; row: the verdict, None with an error; error:
    what is wrong with this image, None if nothing is; png: the PNG file in png format, else empty;
    warnings: why the verdict might not be what it seems.
    """

    id: int
    row: AttackRow | None
    error: StriateError | None = None
    png: bytes = field(default=b"", repr=False)
    warnings: tuple[str, ...] = ()
    _floats: NDArray[np.float32] | None = field(default=None, repr=False)

    @staticmethod
    def read(message: pb.AttackStreamResponse) -> StreamedImage:
        """Raises Internal if the message holds no outcome, or no image."""
        if message.HasField("error"):
            return StreamedImage.bad(message.id, from_status(message.error))
        found = message.attacked
        if not message.HasField("attacked") or not (found.png or found.HasField("image")):
            raise Internal(f"the server answered image {message.id} without an outcome")
        floats = None if found.png else read_float32(found.image)[0]
        return StreamedImage(
            message.id, AttackRow.read(found.row), None, found.png, tuple(found.warnings), floats
        )

    @staticmethod
    def bad(identity: int, error: StriateError) -> StreamedImage:
        """The outcome of an image that could not be attacked."""
        return StreamedImage(identity, None, error)

    @cached_property
    def image(self) -> NDArray[np.float32]:
        """The adversarial image (C, H, W) float32 in [0, 1], in either format. Raises the error if
        there is one.
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
