"""Where a picture lives while it is optimized: the Fourier space of lucid, with decorrelated colour."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from interp.seeds import Generators, normal

# Square root of the covariance of ImageNet's colours (lucid, `color.py`; Olah et al. 2017, "preconditioning").
_COLOUR = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


@dataclass(frozen=True)
class Fourier:
    """Pictures as spectra z (B, C, H, W // 2 + 1, 2), scaled so that each frequency moves as fast as it is strong in photographs.

    Args:
        shape: (C, H, W) of the picture, C 1 or 3.
        like: tensor whose dtype and device z takes.
        deviation: standard deviation of the start's coefficients, before the scale.
    """

    shape: tuple[int, int, int]
    like: Tensor
    deviation: float = 0.01

    @cached_property
    def _scale(self) -> Tensor:
        """Amplitude of each frequency, (H, W // 2 + 1, 1): inverse to the frequency, as in natural images."""
        _, height, width = self.shape
        frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
        amplitude = (height * width) ** 0.5 / frequency.clamp_min(1 / max(height, width))
        scale: Tensor = amplitude[..., None].to(self.like)
        return scale

    @cached_property
    def _colour(self) -> Tensor:
        matrix = torch.tensor(_COLOUR)
        colour: Tensor = (matrix / matrix.norm(dim=0).max()).to(self.like)
        return colour

    def start(self, rows: Generators) -> Tensor:
        """Small normal coefficients: a nearly gray picture."""
        channels, height, width = self.shape
        return normal(rows, (channels, height, width // 2 + 1, 2), self.like) * self.deviation

    def image(self, z: Tensor) -> Tensor:
        """(B, C, H, W) in (0, 1): inverse Fourier transform, decorrelated colour, sigmoid."""
        channels, height, width = self.shape
        picture: Tensor = torch.fft.irfft2(torch.view_as_complex(z * self._scale), s=(height, width)) / 4  # lucid's factor of contrast
        if channels == 3:
            picture = torch.einsum("rc,bchw->brhw", self._colour, picture)
        return picture.sigmoid()

    def project(self, z: Tensor) -> Tensor:
        """z itself: every spectrum is a picture."""
        return z
