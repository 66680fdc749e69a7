"""The weather of ImageNet-C: snow, frost, fog and brightness."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.corruption.blur import directional_blur, enlarge
from interp.resample import pixel_coordinates, sample, symmetric
from interp.seeds import Generators, normal, uniform

LUMA = (0.299, 0.587, 0.114)
FROST_CRYSTALS = 25  # in a square
FROST_LINES = (10, 22, 48)  # needles along the short side, coarse to fine
FROST_TINT = (0.9, 0.96, 1.0)
FROST_DETAIL = 128  # pixels of the long side that show all needles


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


def ice_pattern(images: Tensor, rows: Generators) -> Tensor:
    """Draw patterns of ice like window frost, bluish white where there are three channels.

    Crystals grow around random nuclei, each with needles in three directions 60 degrees apart,
    coarse and fine; a slow variation lets the ice be thick here and thin there. All lengths are
    relative to the short side; images shorter than FROST_DETAIL pixels get the means over their
    pixels of a finer pattern.

    Args:
        images: (B, 1 or 3, H, W), whose shape, dtype and device the patterns get.
        rows: one generator a pattern.

    Returns:
        (B, C, H, W) in [0, 1].
    """
    height, width = images.shape[2:]
    short = min(height, width)
    finer = math.ceil(FROST_DETAIL / max(height, width))
    y, x = (
        (at - (n - 1) / 2) / short
        for at, n in zip(pixel_coordinates(images, finer), (height, width), strict=True)
    )
    bend = _noise(rows, 6, y, x, images), _noise(rows, 6, y, x, images)
    y, x = y + 0.02 * bend[0], x + 0.02 * bend[1]  # crystals have no straight borders
    turn = _crystals(rows, y, x, height / short, width / short) * math.pi / 6
    needles = torch.zeros_like(y)
    for lines in FROST_LINES:
        for branch in range(3):
            angle = turn + branch * math.pi / 3
            along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
            ridge = (1 - 2 * _noise(rows, lines, across, along / 9, images).abs()).clamp_min(0) ** 2
            needles = torch.maximum(needles, ridge * (0.5 + 0.5 * FROST_LINES[0] / lines))
    thick = (0.85 + 0.3 * _noise(rows, 3, y, x, images)).clamp(0.1, 1.2)
    pattern = F.avg_pool2d((0.25 + 0.75 * needles) * thick, finer)
    tint = images.new_tensor(FROST_TINT if images.shape[1] == 3 else (1.0,))
    return (pattern[:, None] * tint.view(1, -1, 1, 1)).clamp(0, 1)


def _crystals(rows: Generators, y: Tensor, x: Tensor, tall: float, wide: float) -> Tensor:
    """For each place (B, H, W) a number in [-1, 1) that all places nearest to the same random
    nucleus share.
    """
    nuclei = uniform(
        rows, (math.ceil(FROST_CRYSTALS * tall * wide), 3, 1, 1), y
    )  # row, column, number
    nearest, number = torch.full_like(y, torch.inf), torch.zeros_like(y)
    for down, right, value in (nucleus.unbind(1) for nucleus in nuclei.unbind(1)):  # (B, 1, 1) each
        far = (y - down * tall / 2) ** 2 + (x - right * wide / 2) ** 2
        number = torch.where(far < nearest, value, number)
        nearest = torch.minimum(far, nearest)
    return number


def _noise(rows: Generators, lattice: int, y: Tensor, x: Tensor, like: Tensor) -> Tensor:
    """Smooth standard normal noise at places y, x (B, H, W), with `lattice` independent values per
    unit of length.
    """
    field = F.interpolate(
        normal(rows, (1, 2 * lattice, 2 * lattice), like), scale_factor=4, mode="bicubic"
    )
    scale = 4 * lattice
    size = field.shape[2]
    return sample(field, y * scale + size / 2, x * scale + size / 2, symmetric)[:, 0]
