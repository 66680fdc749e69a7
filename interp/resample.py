"""Images read at other places than their own pixels, and filters as matrices, with every kind of
edge.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Fold = Callable[
    [Tensor, int], Tensor
]  # (places along a side, its length) -> places within 0 to length - 1


def replicate(at: Tensor, size: int) -> Tensor:
    """Places beyond an edge are the edge: a a a | a b c d | d d d."""
    return at.clamp(0, size - 1)


def mirror(at: Tensor, size: int) -> Tensor:
    """Places beyond an edge are mirrored at the middle of the edge's pixel: d c b | a b c d | c b
    a.
    """
    period = max(2 * (size - 1), 1)
    return ((size - 1) - (at.remainder(period) - (size - 1)).abs()).clamp(0, size - 1)


def symmetric(at: Tensor, size: int) -> Tensor:
    """Places beyond an edge are mirrored at the border itself: c b a | a b c d | d c b."""
    half = (at + 0.5).remainder(2 * size)
    return (size - (half - size).abs() - 0.5).clamp(0, size - 1)


def sample(images: Tensor, y: Tensor, x: Tensor, fold: Fold | None = None) -> Tensor:
    """Images (B, C, H, W) read at places y, x (B or 1, H', W') in pixels by bilinear interpolation,
    as (B, C, H', W').

    Outside the image lies what `fold` says; without it, black.
    """
    height, width = images.shape[2:]
    if fold is not None:
        y, x = fold(y, height), fold(x, width)
    grid = torch.stack(
        [(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], 3
    )  # (B, H', W', 2), the borders at -1 and 1
    grid = grid.to(images).expand(len(images), -1, -1, -1)
    return F.grid_sample(
        images, grid, padding_mode="zeros" if fold is None else "border", align_corners=False
    )


def places(images: Tensor, finer: int = 1) -> tuple[Tensor, Tensor]:
    """The row and the column of every pixel, each (1, H, W), or of the middles of `finer` by
    `finer` parts of each pixel.
    """
    y, x = (
        (torch.arange(n * finer, dtype=images.dtype, device=images.device) + 0.5) / finer - 0.5
        for n in images.shape[2:]
    )
    return y[:, None].expand(1, len(y), len(x)), x.expand(1, len(y), len(x))


def padded(images: Tensor, margin: int, fold: Fold) -> Tensor:
    """Images with `margin` more pixels on each side, however small the images are."""
    for axis in (2, 3):
        size = images.shape[axis]
        images = images.index_select(
            axis, fold(torch.arange(-margin, size + margin, device=images.device), size).long()
        )
    return images


def gaussian_taps(sigma: float, radius: int) -> Tensor:
    """The 2 radius + 1 weights of a Gaussian of `sigma` pixels, which sum to 1, in float64; a sigma
    of 0 changes nothing.
    """
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (at / sigma) ** 2) if sigma > 0 else (at == 0).double()
    return weights / weights.sum()


def filter_matrix(size: int, taps: Tensor, fold: Fold) -> Tensor:
    """The filter with an odd number of `taps` along a side of `size` pixels, as a matrix (size,
    size) in float64.
    """
    radius = len(taps) // 2
    middle = torch.arange(size)[:, None]
    sources = fold(middle + torch.arange(-radius, radius + 1), size).long()  # (size, taps)
    return torch.zeros(size, size, dtype=torch.float64).scatter_add_(
        1, sources, taps.expand(size, -1).contiguous()
    )


def along(images: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Each image's columns times `vertical` (H', H) and its rows times `horizontal` (W', W), as
    (..., H', W').
    """
    return vertical.to(images) @ images @ horizontal.to(images).T


def gaussian(images: Tensor, sigma: float, truncate: float, fold: Fold) -> Tensor:
    """Images blurred by a Gaussian of `sigma` pixels, cut off at `truncate` sigmas."""
    taps = gaussian_taps(sigma, math.floor(truncate * sigma + 0.5))
    vertical, horizontal = (filter_matrix(size, taps, fold) for size in images.shape[2:])
    return along(images, vertical, horizontal)
