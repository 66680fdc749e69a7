"""The weather of ImageNet-C: snow, frost and fog."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.corruption.blur import enlarged, smear
from interp.resample import places, sample, symmetric
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
    """Flakes: normal noise, enlarged by `size`, of which what exceeds `threshold` falls at -135 to
    -45 degrees, twice.

    Behind them the image is whitened: `keep` of it stays.
    """
    flakes = enlarged(mean + deviation * normal(rows, (1, *images.shape[2:]), images), size)
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)
    degrees = -90 + 45 * uniform(rows, (), images.new_empty((), dtype=torch.float64))
    flakes = smear(flakes, degrees, radius, sigma)
    white = torch.maximum(images, 1.5 * gray(images) + 0.5)
    return keep * images + (1 - keep) * white + flakes + flakes.flip(2, 3)


def gray(images: Tensor) -> Tensor:
    """The luma (ITU-R BT.601) of images of three channels, and images of one as they are, as (B, 1,
    H, W).
    """
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def fog(images: Tensor, rows: Generators, amount: float, decay: float) -> Tensor:
    """A plasma cloud, the same in all channels, added to the image; the result is scaled back to
    the image's brightest value.
    """
    height, width = images.shape[2:]
    cloud = plasma(rows, max(256, 2 ** math.ceil(math.log2(max(height, width)))), decay, images)[
        :, None, :height, :width
    ]
    brightest = images.amax((1, 2, 3), keepdim=True)
    return (images + amount * cloud) * brightest / (brightest + amount)


def plasma(rows: Generators, side: int, decay: float, like: Tensor) -> Tensor:
    """Clouds (B, side, side) from 0 to 1 on a torus, by the diamond-square algorithm; `side` is a
    power of two.

    Fournier, Fussell & Carpenter 1982. At each halving of the grid a new point is the mean of its
    four neighbours and a number uniform within the square of a roughness, which begins at 100 and
    is divided by `decay` each time.
    """
    cloud = like.new_zeros(len(rows), side, side)
    step, rough = side, 100.0
    while step >= 2:
        half = step // 2

        def point(neighbours: Tensor, rough: float = rough) -> Tensor:
            return neighbours / 4 + rough**2 * uniform(rows, neighbours.shape[1:], like)

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
        step, rough = half, rough / decay
    cloud -= cloud.amin((1, 2), keepdim=True)
    return cloud / cloud.amax((1, 2), keepdim=True)


def frost(images: Tensor, rows: Generators, keep: float, amount: float) -> Tensor:
    """Ice on the window: `keep` of the image and `amount` of an `ice` pattern.

    ImageNet-C takes its ice from a few photographs; here it is drawn anew for every row.
    """
    return keep * images + amount * ice(images, rows)


def ice(images: Tensor, rows: Generators) -> Tensor:
    """Patterns of ice like window frost, (B, C, H, W) in [0, 1], bluish white where there are three
    channels.

    Crystals grow around random nuclei, each with needles in three directions 60 degrees apart,
    coarse and fine; a slow variation lets the ice be thick here and thin there. All lengths are
    relative to the short side; images shorter than FROST_DETAIL pixels get the means over their
    pixels of a finer pattern.
    """
    height, width = images.shape[2:]
    short = min(height, width)
    finer = math.ceil(FROST_DETAIL / max(height, width))
    y, x = (
        (at - (n - 1) / 2) / short
        for at, n in zip(places(images, finer), (height, width), strict=True)
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
    for down, right, own in (nucleus.unbind(1) for nucleus in nuclei.unbind(1)):  # (B, 1, 1) each
        far = (y - down * tall / 2) ** 2 + (x - right * wide / 2) ** 2
        number = torch.where(far < nearest, own, number)
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
