"""Images read at other places than their own pixels, and filters as matrices, with every kind of
edge.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# (coordinates along a side, its length) -> coordinates from 0 to length - 1
EdgeRule = Callable[[Tensor, int], Tensor]


def replicate(at: Tensor, size: int) -> Tensor:
    """Move coordinates beyond an edge to the edge: a a a | a b c d | d d d.

    Args:
        at: any shape, in pixels, whole numbers or not.
        size: pixels of the side.

    Returns:
        the same shape, from 0 to size - 1.
    """
    return at.clamp(0, size - 1)


def reflect(at: Tensor, size: int) -> Tensor:
    """Mirror coordinates beyond an edge at the middle of the edge's pixel: d c b | a b c d | c b a.

    Args:
        at: any shape, in pixels, whole numbers or not.
        size: pixels of the side.

    Returns:
        the same shape, from 0 to size - 1.
    """
    period = max(2 * (size - 1), 1)
    return ((size - 1) - (at.remainder(period) - (size - 1)).abs()).clamp(0, size - 1)


def symmetric(at: Tensor, size: int) -> Tensor:
    """Mirror coordinates beyond an edge at the border itself: c b a | a b c d | d c b.

    Args:
        at: any shape, in pixels, whole numbers or not.
        size: pixels of the side.

    Returns:
        the same shape, from 0 to size - 1.
    """
    half = (at + 0.5).remainder(2 * size)
    return (size - (half - size).abs() - 0.5).clamp(0, size - 1)


def sample(images: Tensor, y: Tensor, x: Tensor, edge: EdgeRule | None = None) -> Tensor:
    """Read images at given coordinates, by bilinear interpolation.

    Args:
        images: (B, C, H, W).
        y, x: (B or 1, H', W') rows and columns in pixels; 0 is the middle of the first pixel.
        edge: what lies outside the image; None: black.

    Returns:
        (B, C, H', W').
    """
    height, width = images.shape[2:]
    if edge is not None:
        y, x = edge(y, height), edge(x, width)
    grid = torch.stack(
        [(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], 3
    )  # (B, H', W', 2), the borders at -1 and 1
    grid = grid.to(images).expand(len(images), -1, -1, -1)
    return F.grid_sample(
        images, grid, padding_mode="zeros" if edge is None else "border", align_corners=False
    )


def pixel_coordinates(images: Tensor, finer: int = 1) -> tuple[Tensor, Tensor]:
    """Return the coordinates of the pixels of images, or of parts of pixels.

    Args:
        images: (B, C, H, W).
        finer: parts of a pixel along each side, whose middles are meant.

    Returns:
        rows and columns in pixels, each (1, H * finer, W * finer).
    """
    y, x = (
        (torch.arange(n * finer, dtype=images.dtype, device=images.device) + 0.5) / finer - 0.5
        for n in images.shape[2:]
    )
    return y[:, None].expand(1, len(y), len(x)), x.expand(1, len(y), len(x))


def pad(images: Tensor, margin: int, edge: EdgeRule) -> Tensor:
    """Pad images on each side, however small they are.

    Args:
        images: (B, C, H, W).
        margin: pixels on each side, at least 0.
        edge: which pixels lie there.

    Returns:
        (B, C, H + 2 margin, W + 2 margin).
    """
    for axis in (2, 3):
        size = images.shape[axis]
        images = images.index_select(
            axis, edge(torch.arange(-margin, size + margin, device=images.device), size).long()
        )
    return images


def gaussian_taps(sigma: float, radius: int) -> Tensor:
    """Compute the weights of a Gaussian filter.

    Args:
        sigma: standard deviation in pixels; 0: a filter that changes nothing.
        radius: pixels on each side of the middle.

    Returns:
        (2 radius + 1,) float64 of sum 1.
    """
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (at / sigma) ** 2) if sigma > 0 else (at == 0).double()
    return weights / weights.sum()


def filter_matrix(size: int, taps: Tensor, edge: EdgeRule) -> Tensor:
    """Write a filter along one side as a matrix.

    Args:
        size: pixels of the side.
        taps: (odd number,) weights.
        edge: which pixels lie beyond the edges.

    Returns:
        (size, size) float64.
    """
    radius = len(taps) // 2
    middle = torch.arange(size)[:, None]
    sources = edge(middle + torch.arange(-radius, radius + 1), size).long()  # (size, taps)
    return torch.zeros(size, size, dtype=torch.float64).scatter_add_(
        1, sources, taps.expand(size, -1).contiguous()
    )


def apply_separable(images: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Multiply each image's columns by one matrix and its rows by another.

    Args:
        images: (..., H, W).
        vertical: (H', H).
        horizontal: (W', W).

    Returns:
        (..., H', W').
    """
    return vertical.to(images) @ images @ horizontal.to(images).T


def gaussian_blur(images: Tensor, sigma: float, truncate: float, edge: EdgeRule) -> Tensor:
    """Blur images by a Gaussian.

    Args:
        images: (B, C, H, W).
        sigma: standard deviation in pixels, at least 0.
        truncate: sigmas at which the Gaussian is cut off.
        edge: which pixels lie beyond the edges.

    Returns:
        (B, C, H, W).
    """
    taps = gaussian_taps(sigma, math.floor(truncate * sigma + 0.5))
    vertical, horizontal = (filter_matrix(size, taps, edge) for size in images.shape[2:])
    return apply_separable(images, vertical, horizontal)
