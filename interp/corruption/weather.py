"""The weather of ImageNet-C: snow, frost, fog and brightness."""

import math

import torch
from torch import Tensor

from interp.corruption.blur import directional_blur, enlarge
from interp.corruption.ice import ice_pattern
from interp.seeds import Generators, normal, uniform

LUMA = (0.299, 0.587, 0.114)


def snow(
    images: Tensor,
    rows: Generators,
    mean: float,
    deviation: float,
    size: float,
    threshold: float,
    radius: float,
    sigma: float,
    keep: float,
) -> Tensor:
    """Let it snow: flakes fall at -135 to -45 degrees before a whitened image, twice.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        mean, deviation: of the normal noise that becomes flakes.
        size: factor by which the noise is enlarged.
        threshold: what exceeds it becomes flakes.
        radius, sigma: of their motion blur in pixels, see `directional_blur`.
        keep: share of the image that is not whitened.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    flakes = enlarge(mean + deviation * normal(rows, (1, *images.shape[2:]), images), size)
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)
    degrees = -90 + 45 * uniform(rows, (), images.new_empty((), dtype=torch.float64))
    flakes = directional_blur(flakes, degrees, radius, sigma)
    white = torch.maximum(images, 1.5 * gray(images) + 0.5)
    return keep * images + (1 - keep) * white + flakes + flakes.flip(2, 3)


def gray(images: Tensor) -> Tensor:
    """Return the luma of images (ITU-R BT.601).

    Args:
        images: (B, 1 or 3, H, W).

    Returns:
        (B, 1, H, W); images of one channel as they are.
    """
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def brightness(images: Tensor, rows: Generators, amount: float) -> Tensor:
    """Add to the value of hue, saturation and value, which scales the channels of a pixel alike;
    black becomes gray.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: of which nothing is drawn.
        amount: what is added, in pixel units.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    value = images.amax(1, keepdim=True)
    lighter = (value + amount).clamp(max=1)
    return torch.where(
        value > 0, images / value.clamp_min(torch.finfo(images.dtype).tiny) * lighter, lighter
    )


def fog(images: Tensor, rows: Generators, amount: float, decay: float) -> Tensor:
    """Add a plasma cloud, the same in all channels; the result is scaled back to the image's
    brightest value.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        amount: of the cloud, whose values are from 0 to 1.
        decay: of its roughness, see `plasma`.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    height, width = images.shape[2:]
    side = max(256, 2 ** math.ceil(math.log2(max(height, width))))
    cloud = plasma(rows, side, decay, images)[:, None, :height, :width]
    brightest = images.amax((1, 2, 3), keepdim=True)
    return (images + amount * cloud) * brightest / (brightest + amount)


def plasma(rows: Generators, side: int, decay: float, like: Tensor) -> Tensor:
    """Draw clouds on a torus, by the diamond-square algorithm (Fournier, Fussell & Carpenter 1982).

    At each halving of the grid a new point is the mean of its
    four neighbours and a number uniform within the square of a roughness, which begins at 100 and
    is divided by `decay` each time.

    Args:
        rows: one generator a cloud.
        side: pixels, a power of two.
        decay: above 0.
        like: whose dtype and device the clouds get.

    Returns:
        (B, side, side) from 0 to 1.
    """
    cloud = like.new_zeros(len(rows), side, side)
    step, roughness = side, 100.0
    while step >= 2:
        half = step // 2

        def point(neighbours: Tensor, roughness: float = roughness) -> Tensor:
            return neighbours / 4 + roughness**2 * uniform(rows, neighbours.shape[1:], like)

        corners = cloud[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        middles = point(pairs + pairs.roll(-1, 2))
        cloud[:, half::step, half::step] = middles
        cloud[:, ::step, half::step] = point(
            middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)
        )
        cloud[:, half::step, ::step] = point(
            middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)
        )
        step, roughness = half, roughness / decay
    cloud -= cloud.amin((1, 2), keepdim=True)
    return cloud / cloud.amax((1, 2), keepdim=True)


def frost(images: Tensor, rows: Generators, keep: float, amount: float) -> Tensor:
    """Look through a window with ice on it (ImageNet-C takes its ice from a few photographs; here
    it is drawn anew for every row).

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        keep: share of the image.
        amount: of the `ice_pattern`.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    return keep * images + amount * ice_pattern(images, rows)
