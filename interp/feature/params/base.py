"""What a parameterization is: the variables z that are optimized, and the pictures they stand for.

Each has two classes in a module of its own here: the parameterization itself, made for a shape,
dtype and device, and a `ParameterizationSpec` with its settings alone.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from torch import Tensor

from interp.ascent import Transform
from interp.feature.spatial import RandomAffine
from interp.seeds import Generators

# Black and white are encoded so far within the open interval that the sigmoid reaches: a quarter of
# an 8-bit level.
SIGMOID_MARGIN = 1 / 1024


class Parameterization(Protocol):
    """Pictures as functions of z, any of which a climb can start at if it can be encoded."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures."""

    @property
    def z_shape(self) -> tuple[int, ...]:
        """The shape of one row of z."""

    def start(self, rows: Generators) -> Tensor:
        """Draw the first z.

        Args:
            rows: one random generator a row.

        Returns:
            (B, *z_shape).
        """

    def image(self, z: Tensor) -> Tensor:
        """Draw the pictures of z, differentiably.

        Args:
            z: (B, *z_shape).

        Returns:
            (B, C, H, W) in (0, 1).
        """

    def project(self, z: Tensor) -> Tensor:
        """Return the feasible point that is nearest to z, (B, *z_shape)."""

    def including(self, images: Tensor) -> "Parameterization":
        """Return the parameterization with room for given images, if it can draw any.

        Args:
            images: (B, C, H, W) in [0, 1], one a row, or (1, C, H, W) for all.

        Returns:
            One whose pictures they are among, to the margin of the sigmoid.
        """

    def encode(self, images: Tensor) -> Tensor:
        """Find the z of images.

        Args:
            images: (B, C, H, W) in [0, 1].

        Returns:
            (B, *z_shape).

        Raises:
            ValueError: The parameterization cannot draw any given image.
        """


class ParameterizationSpec(ABC):
    """Which parameterization pictures have, and its settings; shape, dtype and device come later.

    A subclass is a frozen dataclass. Its `repr` is part of the keys under which pictures are kept,
    so all that pictures depend on must be in it.

    Attributes:
        name: as the contract's oneof names it.
        encodes: whether it can draw any given image, so that pictures can start at one, and can be
            changed by operators between steps.
        alpha: whether an alpha channel of the same kind can be optimized along with the colours.
        transforms: the random views that its pictures are optimized under unless others are given.
        shared_divisor: how far the variables of a picture share Adam's divisor, see
            `interp.step.adam`.
    """

    name: ClassVar[str]
    encodes: ClassVar[bool] = True
    alpha: ClassVar[bool] = True
    transforms: ClassVar[tuple[Transform, ...]] = (RandomAffine(),)
    shared_divisor: ClassVar[float] = 0.0

    @abstractmethod
    def build(self, shape: tuple[int, int, int], like: Tensor) -> Parameterization:
        """Make the parameterization.

        Args:
            shape: (C, H, W) of the pictures.
            like: a tensor of the dtype and the device that z takes.

        Returns:
            A parameterization of pictures of that shape.
        """

    def relaxed(self, retry: int) -> "ParameterizationSpec":
        """Return the parameterization for another try at a picture that failed, which may leave it
        more room.

        Args:
            retry: number of the try, from 1; 0 for the first optimization.

        Returns:
            This one, unless a subclass says otherwise.
        """
        return self

    def allowed_contrast(self, retry: int) -> float:
        """The largest contrast of a picture in such a try, 0 for any."""
        return 0.0

    @property
    def attention_percentile(self) -> float | None:
        """The percentile, above 0 to 100, at which accumulated gradients are cut to be returned as
        an alpha channel; None for pictures without one.
        """
        return None

    @property
    def hidden_planes(self) -> int:
        """Planes (H, W) of float32 that drawing one picture holds beside the picture itself."""
        return 0


def inverse_sigmoid(images: Tensor) -> Tensor:
    """Return what the sigmoid makes images of.

    Args:
        images: of any shape, in [0, 1]; black and white are first brought to `SIGMOID_MARGIN`
            within (0, 1).

    Returns:
        Their logits, of the same shape.
    """
    return images.clamp(SIGMOID_MARGIN, 1 - SIGMOID_MARGIN).logit()
