"""Pictures with transparency: what a unit does not respond to is left out (Mordvintsev et al. 2018,
"CPPNs and transparency").
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.feature.params.base import Parameterization, ParameterizationSpec
from interp.feature.params.fourier import Fourier
from interp.seeds import Generators

# A wholly opaque picture pays half of what it wins: what a unit does not see becomes transparent.
OPACITY_WEIGHT = 0.5
_HARD_MASK = 8  # An alpha channel has the contrast of this retry: it may be as hard as it likes.


@dataclass(frozen=True)
class Alpha:
    """Pictures (B, C + 1, H, W) of colours and an alpha channel; z (B, n) holds both.

    Args:
        colour: the parameterization of the colours, (C, H, W).
        mask: that of the alpha channel, (1, H, W).
    """

    colour: Parameterization
    mask: Parameterization

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C + 1, H, W)."""
        channels, height, width = self.colour.shape
        return channels + 1, height, width

    @property
    def z_shape(self) -> tuple[int, ...]:
        """(n,): a row of the colours' z, then one of the alpha channel's."""
        return (math.prod(self.colour.z_shape) + math.prod(self.mask.z_shape),)

    def _split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z of the colours and of the alpha channel, each in its own shape."""
        sizes = [math.prod(self.colour.z_shape), math.prod(self.mask.z_shape)]
        colour, mask = torch.split(z, sizes, 1)
        return colour.view(-1, *self.colour.z_shape), mask.view(-1, *self.mask.z_shape)

    def start(self, rows: Generators) -> Tensor:
        """Draw the start of both, (B, n): about half transparent."""
        return torch.cat([self.colour.start(rows).flatten(1), self.mask.start(rows).flatten(1)], 1)

    def image(self, z: Tensor) -> Tensor:
        """Draw the pictures (B, C + 1, H, W) in (0, 1) of z, alpha last."""
        colour, mask = self._split(z)
        return torch.cat([self.colour.image(colour), self.mask.image(mask)], 1)

    def project(self, z: Tensor) -> Tensor:
        """Return z itself."""
        return z

    def including(self, images: Tensor) -> "Alpha":
        """See `Parameterization.including`; images (B, C, H, W) or with alpha (B, C + 1, H, W)."""
        return replace(self, colour=self.colour.including(images[:, : self.colour.shape[0]]))

    def encode(self, images: Tensor) -> Tensor:
        """Find the z of images.

        Args:
            images: (B, C + 1, H, W) in [0, 1], alpha last; or (B, C, H, W), which become half
                transparent, as that can change either way.

        Returns:
            (B, n).

        Raises:
            ValueError: The parameterization of the colours cannot draw any given image.
        """
        channels = self.colour.shape[0]
        alpha = images[:, channels:]
        if images.shape[1] == channels:
            alpha = torch.full_like(images[:, :1], 0.5)
        colour = self.colour.encode(images[:, :channels])
        return torch.cat([colour.flatten(1), self.mask.encode(alpha).flatten(1)], 1)


def with_alpha(spec: ParameterizationSpec, shape: tuple[int, int, int], like: Tensor) -> Alpha:
    """Make a parameterization of pictures with an alpha channel of the same kind as their colours.

    Args:
        spec: of the colours and of the alpha channel.
        shape: (C, H, W) of the colours.
        like: a tensor of the dtype and the device that z takes.

    Returns:
        One of pictures (C + 1, H, W).
    """
    mask = spec.relaxed(_HARD_MASK).build((1, *shape[1:]), like)
    return Alpha(spec.build(shape, like), mask)


def over(images: Tensor, background: Tensor | float = 0.5) -> Tensor:
    """Lay images with alpha over a background (Porter & Duff 1984, "over").

    Args:
        images: (B, C + 1, H, W), alpha last.
        background: (B, C, H, W), or a shade of gray from 0 to 1.

    Returns:
        (B, C, H, W).
    """
    alpha = images[:, -1:]
    return alpha * images[:, :-1] + (1 - alpha) * background


@dataclass(frozen=True)
class RandomBackground:
    """Lays pictures with alpha over backgrounds that change with every view, so that nothing gains
    from being transparent by chance.

    Backgrounds are random pictures with the frequencies and the colours of photographs, as in
    lucid.

    Args:
        deviation: of their Fourier coefficients, as `Fourier.deviation`; 0 for gray.
    """

    deviation: float = 1.0

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one view of each image.

        Args:
            images: (B, C + 1, H, W), alpha last.
            rows: one random generator a row.

        Returns:
            (B, C, H, W).
        """
        _, channels, height, width = images.shape
        shape = (channels - 1, height, width)
        fourier = Fourier(shape, images.new_empty(()), self.deviation, decay=1.0)
        return over(images, fourier.image(fourier.start(rows)))


@dataclass(frozen=True)
class OpacityPenalty:
    """Lowers the score by a share of itself that is as large as the picture is opaque.

    Args:
        weight: what a picture that is opaque all over loses of what it has won, be activations 1 or
            100.
    """

    weight: float = OPACITY_WEIGHT

    def __call__(self, images: Tensor, size: Tensor) -> Tensor:
        """Return the penalty of each row.

        Args:
            images: (B, C + 1, H, W), alpha last.
            size: (B,) the present size of each row's score.

        Returns:
            (B,) minus `weight` times that size times the mean alpha.
        """
        return -self.weight * size * images[:, -1].mean((1, 2))
