"""The four blurs of ImageNet-C: out of focus, through frosted glass, moving, zooming."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.resample import (
    apply_separable,
    filter_matrix,
    gaussian_blur,
    gaussian_taps,
    pad,
    pixel_coordinates,
    reflect,
    replicate,
)
from interp.seeds import Generators, uniform


def disk_kernel(radius: float, alias: float) -> Tensor:
    """Draw a disk, smoothed by a Gaussian.

    The grid reaches 8 pixels to each side, or the radius where that is more; the Gaussian has 3
    taps, or then 5.

    Args:
        radius: of the disk in pixels.
        alias: standard deviation of the Gaussian in pixels.

    Returns:
        (K, K) float64, K odd, of a sum of about 1.
    """
    reach = 8 if radius <= 8 else math.ceil(radius)
    at = torch.arange(-reach, reach + 1, dtype=torch.float64)
    inside = (at[:, None] ** 2 + at**2 <= radius**2).double()
    smooth = filter_matrix(len(at), gaussian_taps(alias, 1 if radius <= 8 else 2), reflect)
    return apply_separable(inside / inside.sum(), smooth, smooth)


def defocus_blur(images: Tensor, rows: Generators, radius: float, alias: float) -> Tensor:
    """Blur as a lens out of focus does: convolve with `disk_kernel`.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: of which nothing is drawn.
        radius, alias: in pixels, see `disk_kernel`.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    kernel = disk_kernel(radius, alias).to(images)
    wide = pad(images, len(kernel) // 2, reflect)
    return F.conv2d(wide.flatten(0, 1)[:, None], kernel[None, None]).view_as(images)


def glass_blur(
    images: Tensor, rows: Generators, sigma: float, reach: float, iterations: float
) -> Tensor:
    """Look through frosted glass: a Gaussian blur, then pixels replaced by near ones, then the blur
    again.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        sigma: standard deviation of the Gaussian in pixels.
        reach: how far pixels move, see `shuffled_pixels`; rounded.
        iterations: see `shuffled_pixels`; rounded.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    blurred = gaussian_blur(images, sigma, 4, replicate)
    source = shuffled_pixels(
        images.shape[2], images.shape[3], rows, round(reach), round(iterations)
    ).to(images.device)
    pixels = blurred.flatten(2).gather(2, source[:, None].expand(-1, images.shape[1], -1))
    return gaussian_blur(pixels.view_as(images), sigma, 4, replicate)


def shuffled_pixels(
    height: int, width: int, rows: Generators, reach: int, iterations: int
) -> Tensor:
    """Draw which pixel comes to each place under frosted glass.

    From the bottom right to the top left, line by line, each pixel at least `reach` from the edges
    takes what then is -reach to reach - 1 lines and columns off. (The published program means to
    swap the two, but copies; so does this.) Copies over 2 reach columns apart cannot meet, so that
    a line may follow the one before it at that distance: all copies of one such front are made at
    once, and the result is that of the sequence.

    Args:
        height, width: of the images in pixels.
        rows: one generator an image.
        reach: largest move along each side in pixels.
        iterations: how often all pixels are gone through.

    Returns:
        (B, height * width) numbers of pixels, counted line by line.
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


def motion_blur(images: Tensor, rows: Generators, radius: float, sigma: float) -> Tensor:
    """Blur as a camera that moves in a direction of -45 to 45 degrees does.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        radius, sigma: in pixels, see `directional_blur`.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    degrees = 45 * uniform(rows, (), images.new_empty((), dtype=torch.float64))
    return directional_blur(images, degrees, radius, sigma)


def directional_blur(images: Tensor, degrees: Tensor, radius: float, sigma: float) -> Tensor:
    """Blur each image by a one-sided Gaussian along a direction of its own.

    The rule of ImageMagick's motion blur: tap i reads the pixel nearest to i pixels away, and the
    edge beyond the edges.

    Args:
        images: (B, C, H, W).
        degrees: (B,) directions, 0 to the right, 90 down.
        radius: pixels; the Gaussian has 2 radius + 1 taps.
        sigma: its standard deviation in pixels.

    Returns:
        (B, C, H, W).
    """
    taps = gaussian_taps(sigma, 2 * math.ceil(radius))[2 * math.ceil(radius) :]
    far = torch.arange(len(taps), dtype=torch.float64, device=images.device)
    angle = degrees.to(far).deg2rad()[:, None]
    down, right = (
        torch.ceil(far * direction - 0.5).long() for direction in (angle.sin(), angle.cos())
    )  # (B, taps)
    height, width = images.shape[2:]
    y, x = (at.long() for at in pixel_coordinates(images))
    blurred = torch.zeros_like(images)
    for tap, weight in enumerate((taps / taps.sum()).tolist()):
        source = replicate(y + down[:, tap, None, None], height) * width + replicate(
            x + right[:, tap, None, None], width
        )
        blurred += weight * images.flatten(2).gather(
            2, source.flatten(1)[:, None].expand(-1, images.shape[1], -1)
        ).view_as(images)
    return blurred


def zoom_blur(images: Tensor, rows: Generators, end: float, step: float) -> Tensor:
    """Blur as a camera that zooms in does: take the mean of the image and its enlargements by 1,
    1 + step, ... up to `end`.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: of which nothing is drawn.
        end: factor that is not reached any more, above 1.
        step: from one factor to the next.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    factors = np.arange(1, end, step).tolist()
    return (images + sum(enlarge(images, factor) for factor in factors)) / (len(factors) + 1)


def enlarge(images: Tensor, factor: float) -> Tensor:
    """Enlarge the middle of images, at their own size.

    A whole number of pixels is window and resized bilinearly, corner pixels to corner pixels; what
    is then too much is cut.

    Args:
        images: (B, C, H, W).
        factor: at least 1.

    Returns:
        (B, C, H, W).
    """
    size = list(images.shape[2:])
    window = [math.ceil(n / factor) for n in size]
    grown = [round(n * factor) for n in window]
    top, left = ((n - m) // 2 for n, m in zip(size, window, strict=True))
    middle = images[:, :, top : top + window[0], left : left + window[1]]
    large = F.interpolate(middle, size=grown, mode="bilinear", align_corners=True)
    top, left = ((n - m) // 2 for n, m in zip(grown, size, strict=True))
    return large[:, :, top : top + size[0], left : left + size[1]]
