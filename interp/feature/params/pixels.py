"""Pictures as their pixels: the plainest parameterization, in which high frequencies win."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from interp.feature.params.base import ParameterizationSpec, inverse_sigmoid
from interp.seeds import Generators, normal


@dataclass(frozen=True)
class Pixels:
    """Pictures as their pixels z (B, C, H, W) before a sigmoid (Olah et al. 2017).

    Args:
        shape: (C, H, W) of the pictures.
        like: a tensor of the dtype and the device that z takes.
        deviation: standard deviation of the start, before the sigmoid.
    """

    shape: tuple[int, int, int]
    like: Tensor
    deviation: float = 0.01

    @property
    def z_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return self.shape

    def start(self, rows: Generators) -> Tensor:
        """Draw small normal values, (B, C, H, W): nearly gray pictures."""
        return normal(rows, self.shape, self.like) * self.deviation

    def image(self, z: Tensor) -> Tensor:
        """Draw the pictures (B, C, H, W) in (0, 1) of z: a sigmoid."""
        return z.sigmoid()

    def project(self, z: Tensor) -> Tensor:
        """Return z itself: every z is a picture."""
        return z

    def including(self, images: Tensor) -> "Pixels":
        """Return the parameterization itself."""
        return self

    def encode(self, images: Tensor) -> Tensor:
        """Return the z (B, C, H, W) of images (B, C, H, W) in [0, 1], see `inverse_sigmoid`."""
        return inverse_sigmoid(images.to(self.like))


@dataclass(frozen=True)
class PixelsSpec(ParameterizationSpec):
    """Pictures as their pixels; there is nothing to set."""

    name: ClassVar[str] = "pixels"

    def build(self, shape: tuple[int, int, int], like: Tensor) -> Pixels:
        """Make the pixels of pictures of this shape, see `ParameterizationSpec.build`."""
        return Pixels(shape, like)
