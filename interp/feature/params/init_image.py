"""Pictures that start at an image instead of noise."""

from dataclasses import dataclass

from torch import Tensor

from interp.feature.params.base import Parameterization
from interp.seeds import Generators


@dataclass(frozen=True, eq=False)
class InitImage:
    """A parameterization whose start is an image, with a little of the noise that the
    parameterization itself starts with.

    Args:
        parameterization: one that can encode images.
        images: (B, C, H, W) in [0, 1], one a row, or (1, C, H, W) for all rows.
        noise: how much of that noise is added, so that seeds differ.
    """

    parameterization: Parameterization
    images: Tensor
    noise: float = 0.02

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures."""
        return self.parameterization.shape

    @property
    def z_shape(self) -> tuple[int, ...]:
        """The shape of one row of z."""
        return self.parameterization.z_shape

    def start(self, rows: Generators) -> Tensor:
        """Encode the images, and add a little noise.

        Args:
            rows: one random generator a row.

        Returns:
            (B, *z_shape).

        Raises:
            ValueError: The parameterization cannot start at an image, or the images have another
                height, width or number.
        """
        if len(self.images) not in (1, len(rows)):
            raise ValueError(f"{len(self.images)} images to begin at, for {len(rows)} pictures")
        if tuple(self.images.shape[2:]) != self.shape[1:]:
            raise ValueError(
                f"cannot begin at images {tuple(self.images.shape[1:])}: the pictures are "
                f"{self.shape}"
            )
        noise = self.noise * self.parameterization.start(rows)
        return self.parameterization.encode(self.images) + noise

    def image(self, z: Tensor) -> Tensor:
        """Draw the pictures (B, C, H, W) in (0, 1) of z."""
        return self.parameterization.image(z)

    def project(self, z: Tensor) -> Tensor:
        """Return the feasible point that is nearest to z."""
        return self.parameterization.project(z)

    def including(self, images: Tensor) -> "InitImage":
        """Return one that starts as this one does, with room for other images, too."""
        return InitImage(self.parameterization.including(images), self.images, self.noise)

    def encode(self, images: Tensor) -> Tensor:
        """Find the z of images (B, C, H, W) in [0, 1]."""
        return self.parameterization.encode(images)
