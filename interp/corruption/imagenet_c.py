"""The fifteen corruptions of ImageNet-C and CIFAR-10-C at five severities (Hendrycks & Dietterich
2019).

Two things are not as published: nothing is rounded to 8 bits on the way (except by JPEG), and frost
is drawn, not photographed.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from interp.corruption import blur, weather
from interp.resample import along, gaussian, mirror, places, sample, symmetric
from interp.seeds import Generators, check_rows, normal, uniform

SMALL, LARGE = 32, 224  # sides for which the parameters are published
SEVERITIES = 5
IMAGENET_ELASTIC = 244 / 224  # ImageNet-C took 244 px for the side

Corrupt = Callable[..., Tensor]  # (images, rows, *parameters) -> images, which may leave [0, 1]
Parameters = tuple[float, ...]


def gaussian_noise(images: Tensor, rows: Generators, deviation: float) -> Tensor:
    """Normal noise on every value."""
    return images + deviation * normal(rows, images.shape[1:], images)


def shot_noise(images: Tensor, rows: Generators, photons: float) -> Tensor:
    """Each value is a Poisson number of photons, `photons` at full light; drawn on the CPU."""
    expected = photons * images.double().cpu().numpy()
    return torch.from_numpy(
        np.stack([g.poisson(x) for g, x in zip(rows, expected, strict=True)]) / photons
    ).to(images)


def impulse_noise(images: Tensor, rows: Generators, share: float) -> Tensor:
    """Salt and pepper: a `share` of the values, each channel for itself, becomes 0 or 1, as often
    the one as the other.
    """
    hit = (uniform(rows, images.shape[1:], images) + 1) / 2 < share
    return torch.where(hit, (uniform(rows, images.shape[1:], images) >= 0).to(images), images)


def brightness(images: Tensor, rows: Generators, amount: float) -> Tensor:
    """Adds to the value of hue, saturation and value, which scales the channels of a pixel alike;
    black becomes gray.
    """
    value = images.amax(1, keepdim=True)
    lighter = (value + amount).clamp(max=1)
    return torch.where(
        value > 0, images / value.clamp_min(torch.finfo(images.dtype).tiny) * lighter, lighter
    )


def contrast(images: Tensor, rows: Generators, share: float) -> Tensor:
    """Leaves a `share` of the difference to the channel's mean."""
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean) * share + mean


def elastic_transform(
    images: Tensor, rows: Generators, strength: float, smoothness: float, skew: float
) -> Tensor:
    """A random affine map, then displacements by smoothed uniform noise; all three amounts are
    shares of the short side.

    The affine map moves three points, a third of the side around the centre, by up to `skew` each
    way; outside, the image is mirrored. The noise in [-1, 1] is blurred by a Gaussian of
    `smoothness` and multiplied by `strength` (Simard et al. 2003).
    """
    height, width = images.shape[2:]
    side, third = min(height, width), min(height, width) // 3
    middle = images.new_tensor([width // 2, height // 2])
    points = middle + third * images.new_tensor(
        [[1, 1], [1, -1], [-1, -1]]
    )  # (3, 2), column and row
    moved = points + skew * side * uniform(rows, (3, 2), images)  # (B, 3, 2)
    ones = images.new_ones(len(images), 3, 1)
    back = torch.linalg.solve(
        torch.cat([moved, ones], 2).double(), points.double().expand(len(images), 3, 2)
    ).to(images)  # (B, 3, 2)
    y, x = places(images)
    source = torch.stack([x, y, torch.ones_like(x)], 3) @ back[:, None]  # (B, H, W, 2)
    skewed = sample(images, source[..., 1], source[..., 0], mirror)
    right, down = (
        strength
        * side
        * gaussian(uniform(rows, (1, height, width), images), smoothness * side, 3, symmetric)[:, 0]
        for _ in range(2)
    )
    return sample(skewed, y + down, x + right, symmetric)


def pixelate(images: Tensor, rows: Generators, share: float) -> Tensor:
    """Reduced to a `share` of each side and enlarged again, both with a box filter."""
    vertical, horizontal = (
        _box(max(int(n * share), 1), n) @ _box(n, max(int(n * share), 1)) for n in images.shape[2:]
    )
    return along(images, vertical, horizontal)


def _box(source: int, target: int) -> Tensor:
    """Resizing a side from `source` to `target` pixels as a matrix: the mean of the pixels whose
    middle lies in the box.

    What lies on a box's border is decided in Pillow's order of rounding, so that the result is
    Pillow's.
    """
    scale = source / target
    box = max(scale, 1)
    centre = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * scale
    pixel = torch.arange(source, dtype=torch.float64)
    at = (pixel - centre + 0.5) * (1 / box)  # (target, source)
    near = (pixel >= (centre - box / 2 + 0.5).floor()) & (pixel < (centre + box / 2 + 0.5).floor())
    inside = (near & (at > -0.5) & (at <= 0.5)).double()
    return inside / inside.sum(1, keepdim=True)


def jpeg_compression(images: Tensor, rows: Generators, quality: float) -> Tensor:
    """Rounded to 8 bits and through Pillow's JPEG encoder (chroma at half size) and back, on the
    CPU.
    """
    levels = (images * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    decoded = []
    for pixels in levels:
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
            file, "JPEG", quality=round(quality)
        )
        decoded.append(np.asarray(Image.open(file)).reshape(pixels.shape))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).to(images) / 255


@dataclass(frozen=True)
class Corruption:
    """A corruption and its published parameters, severity by severity: CIFAR-10-C's for 32 px,
    ImageNet-C's for 224 px.
    """

    corrupt: Corrupt
    small: tuple[Parameters, ...]
    large: tuple[Parameters, ...]

    def parameters(self, severity: int, side: int) -> Parameters:
        """Those for images whose short side is `side`: between 32 and 224 px interpolated, linearly
        in its logarithm; else the nearest.
        """
        share = min(max(math.log(side / SMALL) / math.log(LARGE / SMALL), 0.0), 1.0)
        pairs = zip(self.small[severity - 1], self.large[severity - 1], strict=True)
        return tuple((1 - share) * small + share * large for small, large in pairs)


def _each(*values: float) -> tuple[Parameters, ...]:
    return tuple((value,) for value in values)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption(
        gaussian_noise, _each(0.04, 0.06, 0.08, 0.09, 0.10), _each(0.08, 0.12, 0.18, 0.26, 0.38)
    ),
    "shot_noise": Corruption(shot_noise, _each(500, 250, 100, 75, 50), _each(60, 25, 12, 5, 3)),
    "impulse_noise": Corruption(
        impulse_noise, _each(0.01, 0.02, 0.03, 0.05, 0.07), _each(0.03, 0.06, 0.09, 0.17, 0.27)
    ),
    "defocus_blur": Corruption(
        blur.defocus,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "glass_blur": Corruption(
        blur.glass,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": Corruption(
        blur.motion,
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "zoom_blur": Corruption(
        blur.zoom,
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    "snow": Corruption(
        weather.snow,
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
        weather.frost,
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    "fog": Corruption(
        weather.fog,
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": Corruption(
        brightness, _each(0.05, 0.1, 0.15, 0.2, 0.3), _each(0.1, 0.2, 0.3, 0.4, 0.5)
    ),
    "contrast": Corruption(
        contrast, _each(0.75, 0.5, 0.4, 0.3, 0.15), _each(0.4, 0.3, 0.2, 0.1, 0.05)
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
        pixelate, _each(0.95, 0.9, 0.85, 0.75, 0.65), _each(0.6, 0.5, 0.4, 0.3, 0.25)
    ),
    "jpeg_compression": Corruption(
        jpeg_compression, _each(80, 65, 58, 50, 40), _each(25, 18, 15, 10, 7)
    ),
}


@torch.no_grad()
def corrupt(name: str, images: Tensor, severity: int, rows: Generators) -> Tensor:
    """Images (B, C, H, W) in [0, 1], of one channel or three, corrupted as `name` says, one of
    `CORRUPTIONS`, in [0, 1] again.

    Args:
        severity: 1 to 5.
        rows: one generator an image, from which alone its randomness comes.

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
