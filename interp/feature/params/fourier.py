"""Where a picture lives while it is optimized: the Fourier space of lucid, with decorrelated
colour, or the pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from interp.feature.params.colour import correlation, decorrelated, mixed
from interp.seeds import Generators, normal

EDGE = (
    1 / 1024
    # black and white are encoded so far within the open interval that the sigmoid reaches: a
    # quarter of an 8-bit level
)
_CONTRAST = 4  # lucid's divisor


class PictureSpace(Protocol):
    """A space of pictures, any of which it can begin at if it can encode it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its pictures."""

    @property
    def z_shape(self) -> tuple[int, ...]:
        """The shape of a row of z."""

    def start(self, rows: Generators) -> Tensor:
        """The first z, one entry a row."""

    def image(self, z: Tensor) -> Tensor:
        """The pictures (B, C, H, W) in (0, 1) of z, differentiable."""

    def project(self, z: Tensor) -> Tensor:
        """The feasible point nearest to z."""

    def encode(self, images: Tensor) -> Tensor:
        """The z of images (B, C, H, W) in [0, 1]. Raises ValueError where there is none."""


MakeSpace = Callable[[tuple[int, int, int], Tensor], PictureSpace]  # (shape, like) -> space


def opened(images: Tensor) -> Tensor:
    """What the sigmoid makes images of; black and white are first brought to `EDGE` within
    (0, 1).
    """
    return images.clamp(EDGE, 1 - EDGE).logit()


@dataclass(frozen=True)
class Fourier:
    """Pictures as spectra z (B, C, H, W // 2 + 1, 2), scaled so that each frequency moves as fast
    as it is strong in photographs.

    Args:
        shape: (C, H, W) of the picture, C 1 or 3.
        like: tensor whose dtype and device z takes.
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
        return correlation(self.like)

    def start(self, rows: Generators) -> Tensor:
        """Normal coefficients: soft clouds of colour, on which fewer units are shut than on
        gray.
        """
        return normal(rows, self.z_shape, self.like) * self.deviation

    def image(self, z: Tensor) -> Tensor:
        """(B, C, H, W) in (0, 1): inverse Fourier transform, decorrelated colour, sigmoid."""
        channels, height, width = self.shape
        picture: Tensor = (
            torch.fft.irfft2(torch.view_as_complex(z * self._scale), s=(height, width)) / _CONTRAST
        )
        if channels == 3:
            picture = mixed(picture, self._colour)
        return picture.sigmoid()

    def project(self, z: Tensor) -> Tensor:
        """z itself: every spectrum is a picture."""
        return z

    def encode(self, images: Tensor) -> Tensor:
        """The spectra of images (B, C, H, W) in [0, 1]: `image` gives these back, but for black and
        white (`opened`).
        """
        spectrum = torch.fft.rfft2(decorrelated(opened(images.to(self.like))) * _CONTRAST)
        return torch.view_as_real(spectrum) / self._scale


@dataclass(frozen=True)
class Pixels:
    """Pictures as their pixels z (B, C, H, W) before a sigmoid: the plainest space, in which high
    frequencies win (Olah et al. 2017).

    Args:
        shape: (C, H, W) of the picture.
        like: tensor whose dtype and device z takes.
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
        """Small normal values: a nearly gray picture."""
        return normal(rows, self.shape, self.like) * self.deviation

    def image(self, z: Tensor) -> Tensor:
        """(B, C, H, W) in (0, 1)."""
        return z.sigmoid()

    def project(self, z: Tensor) -> Tensor:
        """z itself."""
        return z

    def encode(self, images: Tensor) -> Tensor:
        """What the sigmoid makes these images of, but for black and white (`opened`)."""
        return opened(images.to(self.like))
