"""The four blurs of ImageNet-C: out of focus, through frosted glass, moving, zooming."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.resample import (
    along,
    filter_matrix,
    gaussian,
    gaussian_taps,
    mirror,
    padded,
    places,
    replicate,
)
from interp.seeds import Generators, uniform


def disk(radius: float, alias: float) -> Tensor:
    """A disk of `radius` pixels, smoothed by a Gaussian of `alias` pixels, as (K, K) in float64; it
    sums to about 1.

    The grid reaches 8 pixels to each side, or the radius where that is more; the Gaussian has 3
    taps, or then 5.
    """
    reach = 8 if radius <= 8 else math.ceil(radius)
    at = torch.arange(-reach, reach + 1, dtype=torch.float64)
    inside = (at[:, None] ** 2 + at**2 <= radius**2).double()
    smooth = filter_matrix(len(at), gaussian_taps(alias, 1 if radius <= 8 else 2), mirror)
    return along(inside / inside.sum(), smooth, smooth)


def defocus(images: Tensor, rows: Generators, radius: float, alias: float) -> Tensor:
    """A lens out of focus: convolution with `disk`."""
    kernel = disk(radius, alias).to(images)
    wide = padded(images, len(kernel) // 2, mirror)
    return F.conv2d(wide.flatten(0, 1)[:, None], kernel[None, None]).view_as(images)


def glass(
    images: Tensor, rows: Generators, sigma: float, reach: float, iterations: float
) -> Tensor:
    """Frosted glass: a Gaussian blur, then pixels replaced by near ones, then the blur again."""
    blurred = gaussian(images, sigma, 4, replicate)
    source = scattered(images.shape[2], images.shape[3], rows, round(reach), round(iterations)).to(
        images.device
    )
    pixels = blurred.flatten(2).gather(2, source[:, None].expand(-1, images.shape[1], -1))
    return gaussian(pixels.view_as(images), sigma, 4, replicate)


def scattered(height: int, width: int, rows: Generators, reach: int, iterations: int) -> Tensor:
    """Which pixel comes to each place under frosted glass, (B, H*W).

    From the bottom right to the top left, line by line, each pixel at least `reach` from the edges
    takes what then is -reach to reach - 1 lines and columns off. (The published program means to
    swap the two, but copies; so does this.) Copies over 2 reach columns apart cannot meet, so that
    a line may follow the one before it at that distance: all copies of one such front are made at
    once, and the result is that of the sequence.
    """
    tall, wide, gap = max(height - 2 * reach, 0), max(width - 2 * reach, 0), 2 * reach + 1
    line, column = np.divmod(np.arange(tall * wide), max(wide, 1))
    here = torch.from_numpy((height - reach - line) * width + (width - reach - column))
    moves = np.stack(
        [g.integers(-reach, reach, (iterations, tall * wide, 2)) for g in rows]
    )  # columns, lines
    there = here + torch.from_numpy(
        moves[..., 1] * width + moves[..., 0]
    )  # (B, iterations, copies)
    front = gap * line + column
    sizes = np.bincount(front)
    fronts = (
        np.split(np.argsort(front, kind="stable"), np.cumsum(sizes[sizes > 0])[:-1])
        if tall * wide
        else []
    )
    source = torch.arange(height * width).repeat(len(rows), 1)
    for iteration in range(iterations):
        for copies in fronts:
            source[:, here[copies]] = source.gather(1, there[:, iteration, copies])
    return source


def motion(images: Tensor, rows: Generators, radius: float, sigma: float) -> Tensor:
    """The camera moves in a direction of -45 to 45 degrees."""
    return smear(
        images, 45 * uniform(rows, (), images.new_empty((), dtype=torch.float64)), radius, sigma
    )


def smear(images: Tensor, degrees: Tensor, radius: float, sigma: float) -> Tensor:
    """One-sided Gaussian of `sigma` pixels and 2 radius + 1 taps along a direction `degrees` (B,)
    of each row.

    The rule of ImageMagick's motion blur: tap i reads the pixel nearest to i pixels away, and the
    edge beyond the edges.
    """
    taps = gaussian_taps(sigma, 2 * math.ceil(radius))[2 * math.ceil(radius) :]
    far = torch.arange(len(taps), dtype=torch.float64, device=images.device)
    angle = degrees.to(far).deg2rad()[:, None]
    down, right = (
        torch.ceil(far * direction - 0.5).long() for direction in (angle.sin(), angle.cos())
    )  # (B, taps)
    height, width = images.shape[2:]
    y, x = (at.long() for at in places(images))
    blurred = torch.zeros_like(images)
    for tap, weight in enumerate((taps / taps.sum()).tolist()):
        source = replicate(y + down[:, tap, None, None], height) * width + replicate(
            x + right[:, tap, None, None], width
        )
        blurred += weight * images.flatten(2).gather(
            2, source.flatten(1)[:, None].expand(-1, images.shape[1], -1)
        ).view_as(images)
    return blurred


def zoom(images: Tensor, rows: Generators, end: float, step: float) -> Tensor:
    """The camera zooms in: the mean of the image and its enlargements by 1, 1 + step, ... up to
    `end`.
    """
    factors = np.arange(1, end, step).tolist()
    return (images + sum(enlarged(images, factor) for factor in factors)) / (len(factors) + 1)


def enlarged(images: Tensor, factor: float) -> Tensor:
    """The middle of the images, `factor` times as large (at least 1), at the images' own size.

    A whole number of pixels is taken and resized bilinearly, corner pixels to corner pixels; what
    is then too much is cut.
    """
    size = list(images.shape[2:])
    taken = [math.ceil(n / factor) for n in size]
    grown = [round(n * factor) for n in taken]
    top, left = ((n - m) // 2 for n, m in zip(size, taken, strict=True))
    middle = images[:, :, top : top + taken[0], left : left + taken[1]]
    large = F.interpolate(middle, size=grown, mode="bilinear", align_corners=True)
    top, left = ((n - m) // 2 for n, m in zip(grown, size, strict=True))
    return large[:, :, top : top + size[0], left : left + size[1]]
