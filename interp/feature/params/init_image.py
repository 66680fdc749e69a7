"""Pictures that begin at an image instead of noise."""

from dataclasses import dataclass

from torch import Tensor

from interp.feature.params.fourier import PictureSpace
from interp.seeds import Generators


@dataclass(frozen=True, eq=False)
class Begun:
    """A space whose start is an image of the row's own, with a little of the noise that the space
    itself begins with.

    Args:
        space: one that can encode images.
        images: (B, C, H, W) in [0, 1], one a row, or (1, C, H, W) for all.
        noise: how much of that noise, so that seeds differ.

    Raises (at the start):
        ValueError: the space cannot begin at an image, or the images have another height, width or
        number.
    """

    space: PictureSpace
    images: Tensor
    noise: float = 0.02

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the space."""
        return self.space.shape

    @property
    def z_shape(self) -> tuple[int, ...]:
        """That of the space."""
        return self.space.z_shape

    def start(self, rows: Generators) -> Tensor:
        """The images, with a little noise."""
        if len(self.images) not in (1, len(rows)):
            raise ValueError(f"{len(self.images)} images to begin at, for {len(rows)} pictures")
        if tuple(self.images.shape[2:]) != self.shape[1:]:
            raise ValueError(
                f"cannot begin at images {tuple(self.images.shape[1:])}: the pictures are "
                f"{self.shape}"
            )
        return self.space.encode(self.images) + self.noise * self.space.start(rows)

    def image(self, z: Tensor) -> Tensor:
        """That of the space."""
        return self.space.image(z)

    def project(self, z: Tensor) -> Tensor:
        """That of the space."""
        return self.space.project(z)

    def encode(self, images: Tensor) -> Tensor:
        """That of the space."""
        return self.space.encode(images)
