"""The mean magnitude spectrum of a data set: how strong each frequency of each colour is in it."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from interp.feature.params.colour import decorrelated


@dataclass
class Spectrum:
    """The sum of magnitude spectra in decorrelated colour (Fel et al. 2023, section 3), in
    float64.

    Args:
        shape: (C, H, W) of the images, C 1 or 3.

    Attributes:
        images: how many there were.
        total: the sum of their magnitudes, (C, H, W // 2 + 1) float64.
    """

    shape: tuple[int, int, int]
    images: int = 0
    total: Tensor = field(init=False)

    def __post_init__(self) -> None:
        channels, height, width = self.shape
        self.total = torch.zeros(channels, height, width // 2 + 1, dtype=torch.float64)

    def update(self, images: Tensor) -> None:
        """Add the spectra of images.

        Args:
            images: (B, C, H, W) in [0, 1], of this spectrum's shape.

        Raises:
            ValueError: The images have another shape.
        """
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(
                f"images {tuple(images.shape[1:])} in a spectrum of images {self.shape}"
            )
        self.total += torch.fft.rfft2(decorrelated(images.double())).abs().sum(0).cpu()
        self.images += len(images)

    def merge(self, other: "Spectrum") -> None:
        """Add all images of another spectrum.

        Args:
            other: of images of the same shape.

        Raises:
            ValueError: It is of images of another shape.
        """
        if other.shape != self.shape:
            raise ValueError(f"a spectrum of images {other.shape} and one of images {self.shape}")
        self.total += other.total
        self.images += other.images

    @property
    def magnitude(self) -> Tensor:
        """The mean magnitudes, (C, H, W // 2 + 1) float64, as `Maco` takes them.

        Raises:
            ValueError: There has been no image yet.
        """
        if not self.images:
            raise ValueError("a spectrum of no images")
        return self.total / self.images
