"""Pictures with transparency: what a unit does not care about is left out (Mordvintsev et al. 2018,
"CPPNs and transparency").
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from interp.feature.params.cppn import Cppn
from interp.feature.params.fourier import Fourier, Pixels
from interp.seeds import Generators


@dataclass(frozen=True)
class Alpha:
    """Pictures (B, C + 1, H, W): colours of a space, and an alpha channel of the same kind of
    space; z (B, n) holds both.

    Args:
        colour: the space of the colours; alpha lives in the same with one channel.
    """

    colour: Fourier | Pixels | Cppn

    @cached_property
    def _mask(self) -> Fourier | Pixels | Cppn:
        return replace(self.colour, shape=(1, *self.colour.shape[1:]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C + 1, H, W)."""
        channels, height, width = self.colour.shape
        return channels + 1, height, width

    @property
    def z_shape(self) -> tuple[int, ...]:
        """(n,): a row of the colours' z, then one of alpha's."""
        return (math.prod(self.colour.z_shape) + math.prod(self._mask.z_shape),)

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        colour, mask = torch.split(
            z, [math.prod(self.colour.z_shape), math.prod(self._mask.z_shape)], 1
        )
        return colour.view(-1, *self.colour.z_shape), mask.view(-1, *self._mask.z_shape)

    def start(self, rows: Generators) -> Tensor:
        """Both at their own start: about half transparent."""
        return torch.cat([self.colour.start(rows).flatten(1), self._mask.start(rows).flatten(1)], 1)

    def image(self, z: Tensor) -> Tensor:
        """(B, C + 1, H, W) in (0, 1), alpha last."""
        colour, mask = self._parts(z)
        return torch.cat([self.colour.image(colour), self._mask.image(mask)], 1)

    def project(self, z: Tensor) -> Tensor:
        """z itself."""
        return z

    def encode(self, images: Tensor) -> Tensor:
        """The z of images (B, C + 1, H, W) in [0, 1]; images (B, C, H, W) become half transparent,
        which can move either way.

        Raises:
            ValueError: the space cannot begin at an image.
        """
        channels = self.colour.shape[0]
        alpha = (
            images[:, channels:]
            if images.shape[1] > channels
            else torch.full_like(images[:, :1], 0.5)
        )
        return torch.cat(
            [
                self.colour.encode(images[:, :channels]).flatten(1),
                self._mask.encode(alpha).flatten(1),
            ],
            1,
        )


def over(images: Tensor, background: Tensor | float = 0.5) -> Tensor:
    """Images (B, C + 1, H, W), alpha last, laid over a background (B, C, H, W) or a shade of gray:
    (B, C, H, W).
    """
    alpha = images[:, -1:]
    return alpha * images[:, :-1] + (1 - alpha) * background


@dataclass(frozen=True)
class Backdrop:
    """Lays pictures with alpha over backgrounds that change with every view, so that nothing gains
    from being transparent by chance.

    Backgrounds are random pictures with the frequencies and the colours of photographs, as in
    lucid.

    Args:
        deviation: of their Fourier coefficients, as `Fourier.deviation`; 0 for gray.
    """

    deviation: float = 1.0

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Views (B, C, H, W) of images (B, C + 1, H, W)."""
        _, channels, height, width = images.shape
        space = Fourier((channels - 1, height, width), images.new_empty(()), self.deviation)
        return over(images, space.image(space.start(rows)))


def opacity(weight: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The penalty of alpha: minus `weight` times the size of the row's score times the mean alpha
    of images (B, C + 1, H, W), per row.

    A picture that is opaque all over loses `weight` times what it has won, be activations 1 or 100.
    """
    return lambda images, size: -weight * size * images[:, -1].mean((1, 2))
