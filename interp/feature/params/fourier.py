"""Pictures as Fourier spectra with decorrelated colour, as in lucid: the default."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from interp.feature.params.base import ParameterizationSpec, inverse_sigmoid
from interp.feature.params.colour import correlation, decorrelated, mixed
from interp.seeds import Generators, normal

_CONTRAST = 4  # lucid's divisor


@dataclass(frozen=True)
class Fourier:
    """Pictures as spectra z (B, C, H, W // 2 + 1, 2), scaled so that each frequency moves as fast
    as it is strong in photographs (Olah et al. 2017, "preconditioning").

    Args:
        shape: (C, H, W) of the pictures, C 1 or 3.
        like: a tensor of the dtype and the device that z takes.
        deviation: standard deviation of the start's coefficients, before the scale.
        decay: the power of its frequency that the scale of a coefficient falls with: 1 in
            photographs, 0 for none.
    """

    shape: tuple[int, int, int]
    like: Tensor
    deviation: float = 0.5
    decay: float = 1.0

    @property
    def z_shape(self) -> tuple[int, ...]:
        """(C, H, W // 2 + 1, 2): real and imaginary parts."""
        channels, height, width = self.shape
        return channels, height, width // 2 + 1, 2

    @cached_property
    def _scale(self) -> Tensor:
        """Amplitude of each frequency, (H, W // 2 + 1, 1): inverse to the frequency, as in natural
        images.
        """
        _, height, width = self.shape
        frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
        amplitude = (height * width) ** 0.5 / frequency.clamp_min(
            1 / max(height, width)
        ) ** self.decay
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
            torch.fft.irfft2(torch.view_as_complex(z * self._scale), s=(height, width)) / _CONTRAST
        )
        if channels == 3:
            picture = mixed(picture, self._colour)
        return picture.sigmoid()

    def project(self, z: Tensor) -> Tensor:
        """Return z itself: every spectrum is a picture."""
        return z

    def encode(self, images: Tensor) -> Tensor:
        """Find the spectra (B, C, H, W // 2 + 1, 2) of images (B, C, H, W) in [0, 1], of which
        `image` gives the images back, but for black and white (see `inverse_sigmoid`).
        """
        spectrum = torch.fft.rfft2(decorrelated(inverse_sigmoid(images.to(self.like))) * _CONTRAST)
        return torch.view_as_real(spectrum) / self._scale


@dataclass(frozen=True)
class FourierSpec(ParameterizationSpec):
    """Pictures as Fourier spectra.

    Args:
        decay: the strength of each frequency is 1 / frequency^decay, 0 to 4.
    """

    decay: float = 1.0
    name: ClassVar[str] = "fourier"

    def build(self, shape: tuple[int, int, int], like: Tensor) -> Fourier:
        """Make the spectra of pictures of this shape, see `ParameterizationSpec.build`."""
        return Fourier(shape, like, decay=self.decay)
