"""Patterns of ice, like frost on a window."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.resample import pixel_coordinates, sample, symmetric
from interp.seeds import Generators, normal, uniform

_CRYSTALS = 25  # in a square
_LINES = (10, 22, 48)  # needles along the short side, coarse to fine
_TINT = (0.9, 0.96, 1.0)
_DETAIL = 128  # pixels of the long side that show all needles


def ice_pattern(images: Tensor, rows: Generators) -> Tensor:
    """Draw patterns of ice like window frost, bluish white where there are three channels.

    Crystals grow around random nuclei, each with needles in three directions 60 degrees apart,
    coarse and fine; a slow variation lets the ice be thick here and thin there. All lengths are
    relative to the short side; images shorter than 128 pixels get the means over their
    pixels of a finer pattern.

    Args:
        images: (B, 1 or 3, H, W), whose shape, dtype and device the patterns get.
        rows: one generator a pattern.

    Returns:
        (B, C, H, W) in [0, 1].
    """
    height, width = images.shape[2:]
    short = min(height, width)
    finer = math.ceil(_DETAIL / max(height, width))
    y, x = (
        (at - (n - 1) / 2) / short
        for at, n in zip(pixel_coordinates(images, finer), (height, width), strict=True)
    )
    bend = _noise(rows, 6, y, x, images), _noise(rows, 6, y, x, images)
    y, x = y + 0.02 * bend[0], x + 0.02 * bend[1]  # crystals have no straight borders
    turn = _crystals(rows, y, x, height / short, width / short) * math.pi / 6
    needles = torch.zeros_like(y)
    for lines in _LINES:
        for branch in range(3):
            angle = turn + branch * math.pi / 3
            along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
            ridge = (1 - 2 * _noise(rows, lines, across, along / 9, images).abs()).clamp_min(0) ** 2
            needles = torch.maximum(needles, ridge * (0.5 + 0.5 * _LINES[0] / lines))
    thick = (0.85 + 0.3 * _noise(rows, 3, y, x, images)).clamp(0.1, 1.2)
    pattern = F.avg_pool2d((0.25 + 0.75 * needles) * thick, finer)
    tint = images.new_tensor(_TINT if images.shape[1] == 3 else (1.0,))
    return (pattern[:, None] * tint.view(1, -1, 1, 1)).clamp(0, 1)


def _crystals(rows: Generators, y: Tensor, x: Tensor, tall: float, wide: float) -> Tensor:
    """For each place (B, H, W) a number in [-1, 1) that all places nearest to the same random
    nucleus share.
    """
    nuclei = uniform(rows, (math.ceil(_CRYSTALS * tall * wide), 3, 1, 1), y)  # row, column, number
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
