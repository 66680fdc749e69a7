"""Pictures as Fourier spectra with decorrelated colour, as in lucid: the default."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from interp.feature.params.base import ParameterizationSpec, inverse_sigmoid
from interp.feature.params.colour import correlation, decorrelated, mixed
from interp.seeds import Generators, normal

_DIVISOR = 4  # lucid's
# Steeper than photographs, whose decay is 1: gradients of networks are rich in high frequencies.
DECAY = 1.3
# Photographs have about as much; beyond, pictures of shallow units turn black, white and neon.
CONTRAST = 1.2


@dataclass(frozen=True)
class Fourier:
    """Pictures as spectra z (B, C, H, W // 2 + 1, 2), scaled so that each frequency moves as fast
    as it is strong in photographs (Olah et al. 2017, "preconditioning").

    Args:
        shape: (C, H, W) of the pictures, C 1 or 3.
        like: a tensor of the dtype and the device that z takes.
        deviation: standard deviation of the start's coefficients, before the scale.
        decay: the power of its frequency that the scale of a coefficient falls with: 1 in
            photographs, 0 for none. Whatever it is, the start is as strong on the whole as with 1.
        contrast: the largest standard deviation of a picture's values before the sigmoid, a number
            or one a row, (B, 1, 1, 1); beyond, spectra differ in their direction alone.
    """

    shape: tuple[int, int, int]
    like: Tensor
    deviation: float = 0.5
    decay: float = DECAY
    contrast: float | Tensor = CONTRAST

    @property
    def z_shape(self) -> tuple[int, ...]:
        """(C, H, W // 2 + 1, 2): real and imaginary parts."""
        channels, height, width = self.shape
        return channels, height, width // 2 + 1, 2

    @cached_property
    def _scale(self) -> Tensor:
        """Amplitude of each frequency, (H, W // 2 + 1, 1): inverse to a power of the frequency, of
        the sum of squares that those of photographs have.
        """
        _, height, width = self.shape
        frequency = torch.hypot(
            torch.fft.fftfreq(height, dtype=torch.float64)[:, None],
            torch.fft.rfftfreq(width, dtype=torch.float64)[None],
        ).clamp_min(1 / max(height, width))
        amplitude = frequency**-self.decay
        amplitude *= math.sqrt(height * width) * (1 / frequency).norm() / amplitude.norm()
        scale: Tensor = amplitude[..., None].to(self.like)
        return scale

    @cached_property
    def _colour(self) -> Tensor:
        """The matrix of `correlation`, (3, 3)."""
        return correlation(self.like)

    def start(self, rows: Generators) -> Tensor:
        """Draw normal coefficients, (B, C, H, W // 2 + 1, 2): soft clouds of colour, on which more
        units have a gradient than on gray.
        """
        return normal(rows, self.z_shape, self.like) * self.deviation

    def image(self, z: Tensor) -> Tensor:
        """Draw the pictures (B, C, H, W) in (0, 1) of z: inverse Fourier transform, decorrelated
        colour, sigmoid.
        """
        channels, height, width = self.shape
        picture: Tensor = (
            torch.fft.irfft2(torch.view_as_complex(z * self._scale), s=(height, width)) / _DIVISOR
        )
        if channels == 3:
            picture = mixed(picture, self._colour)
        return (picture * (self.contrast / _contrast(picture)).clamp(max=1)).sigmoid()

    def project(self, z: Tensor) -> Tensor:
        """Return z itself: every spectrum is a picture."""
        return z

    def including(self, images: Tensor) -> "Fourier":
        """Return the spectra whose pictures may have as much contrast as images (B, C, H, W)."""
        contrast = _contrast(inverse_sigmoid(images.to(self.like)))
        return replace(self, contrast=contrast.clamp_min(self.contrast))

    def encode(self, images: Tensor) -> Tensor:
        """Find the spectra (B, C, H, W // 2 + 1, 2) of images (B, C, H, W) in [0, 1], of which
        `image` gives the images back, but for black and white (see `inverse_sigmoid`) and for what
        they have beyond `contrast`.
        """
        spectrum = torch.fft.rfft2(decorrelated(inverse_sigmoid(images.to(self.like))) * _DIVISOR)
        return torch.view_as_real(spectrum) / self._scale


def _contrast(pictures: Tensor) -> Tensor:
    """(B, 1, 1, 1) the standard deviation of the values of pictures (B, C, H, W), above 0."""
    least = torch.finfo(pictures.dtype).tiny
    variance = pictures.flatten(1).var(1, unbiased=False)
    return variance.clamp_min(least).sqrt().view(-1, 1, 1, 1)


@dataclass(frozen=True)
class FourierSpec(ParameterizationSpec):
    """Pictures as Fourier spectra.

    Args:
        decay: the strength of each frequency is 1 / frequency^decay, 0 to 4.
        contrast: the most that a picture may have, above 0, see `Fourier`.
    """

    decay: float = DECAY
    contrast: float = CONTRAST
    name: ClassVar[str] = "fourier"
    # High frequencies, whose gradients are small, then stay low: the geometric mean of both ways.
    shared_divisor: ClassVar[float] = 0.5

    def build(self, shape: tuple[int, int, int], like: Tensor) -> Fourier:
        """Make the spectra of pictures of this shape, see `ParameterizationSpec.build`."""
        return Fourier(shape, like, decay=self.decay, contrast=self.contrast)

    def relaxed(self, retry: int) -> "FourierSpec":
        """Return the spectra of a retry, which may have twice the contrast of the one before: some
        shallow units answer to white or black alone.
        """
        return replace(self, contrast=self.allowed_contrast(retry))

    def allowed_contrast(self, retry: int) -> float:
        """See `relaxed`."""
        return float(self.contrast * 2**retry)
