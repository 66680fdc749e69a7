"""The fifteen corruptions of ImageNet-C and CIFAR-10-C at five severities (Hendrycks & Dietterich
2019).

Two things are not as published: nothing is rounded to 8 bits on the way (except by JPEG), and frost
is drawn, not photographed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.corruption.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from interp.corruption.digital import contrast, elastic_transform, jpeg_compression, pixelate
from interp.corruption.noise import gaussian_noise, impulse_noise, shot_noise
from interp.corruption.weather import brightness, fog, frost, snow
from interp.seeds import Generators, check_rows

SMALL, LARGE = 32, 224  # sides for which the parameters are published
SEVERITIES = 5
IMAGENET_ELASTIC = 244 / 224  # ImageNet-C took 244 px for the side

Corrupt = Callable[..., Tensor]  # (images, rows, *parameters) -> images, which may leave [0, 1]
Parameters = tuple[float, ...]


@dataclass(frozen=True)
class Corruption:
    """A corruption and its published parameters, severity by severity.

    Attributes:
        corrupt: the function.
        small: CIFAR-10-C's parameters, for images of 32 px.
        large: ImageNet-C's, for images of 224 px.
    """

    corrupt: Corrupt
    small: tuple[Parameters, ...]
    large: tuple[Parameters, ...]

    def parameters(self, severity: int, side: int) -> Parameters:
        """Return the parameters for images of any size: between 32 and 224 px interpolated,
        linearly in the side's logarithm; else the nearest.

        Args:
            severity: 1 to 5.
            side: of the images, the shorter one, in pixels.
        """
        share = min(max(math.log(side / SMALL) / math.log(LARGE / SMALL), 0.0), 1.0)
        pairs = zip(self.small[severity - 1], self.large[severity - 1], strict=True)
        return tuple((1 - share) * small + share * large for small, large in pairs)


def _one_each(*values: float) -> tuple[Parameters, ...]:
    return tuple((value,) for value in values)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption(
        gaussian_noise,
        _one_each(0.04, 0.06, 0.08, 0.09, 0.10),
        _one_each(0.08, 0.12, 0.18, 0.26, 0.38),
    ),
    "shot_noise": Corruption(
        shot_noise, _one_each(500, 250, 100, 75, 50), _one_each(60, 25, 12, 5, 3)
    ),
    "impulse_noise": Corruption(
        impulse_noise,
        _one_each(0.01, 0.02, 0.03, 0.05, 0.07),
        _one_each(0.03, 0.06, 0.09, 0.17, 0.27),
    ),
    "defocus_blur": Corruption(
        defocus_blur,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "glass_blur": Corruption(
        glass_blur,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": Corruption(
        motion_blur,
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "zoom_blur": Corruption(
        zoom_blur,
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    "snow": Corruption(
        snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "frost": Corruption(
        frost,
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    "fog": Corruption(
        fog,
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": Corruption(
        brightness, _one_each(0.05, 0.1, 0.15, 0.2, 0.3), _one_each(0.1, 0.2, 0.3, 0.4, 0.5)
    ),
    "contrast": Corruption(
        contrast, _one_each(0.75, 0.5, 0.4, 0.3, 0.15), _one_each(0.4, 0.3, 0.2, 0.1, 0.05)
    ),
    "elastic_transform": Corruption(
        elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        tuple(
            (a * IMAGENET_ELASTIC, s * IMAGENET_ELASTIC, k * IMAGENET_ELASTIC)
            for a, s, k in (
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            )
        ),
    ),
    "pixelate": Corruption(
        pixelate, _one_each(0.95, 0.9, 0.85, 0.75, 0.65), _one_each(0.6, 0.5, 0.4, 0.3, 0.25)
    ),
    "jpeg_compression": Corruption(
        jpeg_compression, _one_each(80, 65, 58, 50, 40), _one_each(25, 18, 15, 10, 7)
    ),
}


@torch.no_grad()
def corrupt(name: str, images: Tensor, severity: int, rows: Generators) -> Tensor:
    """Corrupt images.

    Args:
        name: one of `CORRUPTIONS`.
        images: (B, 1 or 3, H, W) in [0, 1].
        severity: 1 to 5.
        rows: one generator an image, from which alone its randomness comes.

    Returns:
        (B, C, H, W) in [0, 1].

    Raises:
        ValueError: an unknown name, a severity outside 1 to 5, neither one channel nor three, not
            one generator an image.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption: {name!r} is none of {', '.join(CORRUPTIONS)}")
    if severity not in range(1, SEVERITIES + 1):
        raise ValueError(f"severity: {severity} is not a whole number from 1 to {SEVERITIES}")
    check_rows(images, rows)
    if not len(images):
        return images.clone()
    corruption = CORRUPTIONS[name]
    return corruption.corrupt(
        images, rows, *corruption.parameters(severity, min(images.shape[2:]))
    ).clamp(0, 1)
