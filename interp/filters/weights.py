"""The weights of a convolution, exact and as a picture."""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interp.network.network import Network

Scale = Literal["filter", "global"]

NORMALIZATION: dict[Scale, str] = {
    "filter": "per filter: zero is mid-gray, the filter's largest magnitude is black or white",
    "global": "global: zero is mid-gray, the layer's largest magnitude is black or white",
}
MAX_PIXELS = 64_000_000
MAX_ZOOM = 32
_TILE = 48  # pixels, about, if the zoom is left open
_GAP = 1  # black pixels between tiles and around them


def convolutions(network: Network) -> list[str]:
    """List the dotted names of a network's 2-d convolutions, in the order in which a forward pass
    finishes them.

    Args:
        network: whose layers are listed.

    Returns:
        The names; empty without a convolution.
    """
    return [
        name for name in network.layers if isinstance(network.module.get_submodule(name), nn.Conv2d)
    ]


def first_convolution(network: Network) -> str:
    """Find the convolution that a forward pass finishes first.

    Args:
        network: whose layers are searched.

    Returns:
        The dotted name.

    Raises:
        ValueError: the network has none.
    """
    names = convolutions(network)
    if not names:
        raise ValueError("the network has no convolution")
    return names[0]


def filter_weights(network: Network, layer: str) -> Tensor:
    """Copy the weights of a convolution, exactly as stored, to the CPU.

    Args:
        network: any.
        layer: dotted name of the convolution.

    Returns:
        (O, I, h, w), I being the input channels of a group.

    Raises:
        ValueError: `layer` is not a convolution; the message names those that are.
    """
    names = convolutions(network)
    if layer not in names:
        raise ValueError(
            f"layer {layer!r} is not a convolution; these are: {', '.join(names) or 'none'}"
        )
    weight = network.module.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return weight.detach().cpu().contiguous(memory_format=torch.contiguous_format).clone()


def render_filters(weights: Tensor, scale: Scale = "filter", zoom: int = 0) -> NDArray[np.uint8]:
    """Draw filters as one picture.

    With I = 1 or 3 there is one tile a filter, gray or colour, in channel order along the rows of a
    grid that is nearly square. Otherwise each filter is one row of gray tiles, one an input
    channel. Tiles are 1 black pixel apart. A picture beyond 64 megapixels is drawn with fewer
    pixels a weight.

    Args:
        weights: (O, I, h, w).
        scale: zero becomes 127.5 and the largest magnitude, of the filter or of all, becomes 0 or
            255; see NORMALIZATION.
        zoom: pixels a weight, 1 to 32; 0 picks one that makes tiles of about 48 pixels.

    Returns:
        (height, width, 1 or 3).

    Raises:
        ValueError: `zoom` is out of range, a weight is not finite, or there are too many weights
            for one pixel each.
    """
    rows, columns, zoom = tile_layout(weights, zoom)
    tiles = _pixels(weights, scale)  # (O, I, h, w)
    # Colour is one tile of three channels, gray is one tile a channel: (tiles, h, w, C).
    tiles = (
        tiles.transpose(0, 2, 3, 1)
        if tiles.shape[1] == 3
        else tiles.reshape(-1, *tiles.shape[2:], 1)
    )
    return arrange_tiles(tiles.repeat(zoom, axis=1).repeat(zoom, axis=2), rows, columns)


def tile_layout(weights: Tensor, zoom: int) -> tuple[int, int, int]:
    """Choose the grid of tiles that weights become; see `render_filters`.

    Args:
        weights: (O, I, h, w).
        zoom: pixels a weight, 1 to 32; 0: about 48 pixels a tile.

    Returns:
        rows and columns of the grid, and the pixels a weight.

    Raises:
        ValueError: as `render_filters`.
    """
    if not 0 <= zoom <= MAX_ZOOM:
        raise ValueError(f"zoom must be from 0 to {MAX_ZOOM}, not {zoom}")
    if weights.ndim != 4 or not weights.numel():
        raise ValueError(
            f"weights must be (filters, channels, rows, columns), not {tuple(weights.shape)}"
        )
    outputs, inputs, height, width = weights.shape
    columns = _grid_columns(outputs, height, width) if inputs in (1, 3) else inputs
    rows = math.ceil(outputs / columns) if inputs in (1, 3) else outputs
    zoom = zoom or min(max(round(_TILE / max(height, width)), 1), MAX_ZOOM)
    return rows, columns, _affordable_zoom(zoom, rows, columns, height, width)


def _grid_columns(tiles: int, height: int, width: int) -> int:
    """How many columns make a grid of tiles nearly square."""
    return min(tiles, math.ceil(math.sqrt(tiles * height / width)))


def _affordable_zoom(most: int, rows: int, columns: int, height: int, width: int) -> int:
    for zoom in range(most, 0, -1):
        if _extent(rows, height * zoom) * _extent(columns, width * zoom) <= MAX_PIXELS:
            return zoom
    raise ValueError(
        f"{rows} x {columns} tiles of {height} x {width} weights are more than "
        f"{MAX_PIXELS // 1_000_000} megapixels"
    )


def _extent(tiles: int, size: int) -> int:
    return tiles * (size + _GAP) + _GAP


def _pixels(weights: Tensor, scale: Scale) -> NDArray[np.uint8]:
    exact = weights.double().cpu().numpy()
    if not np.isfinite(exact).all():
        raise ValueError("a weight is not a finite number")
    largest = np.abs(exact).max(axis=(1, 2, 3) if scale == "filter" else None, keepdims=True)
    # -1 to 1; 0 for a filter of zeros
    share = np.divide(exact, largest, out=np.zeros_like(exact), where=largest > 0)
    return np.asarray(np.rint(127.5 + 127.5 * share), dtype=np.uint8)


def arrange_tiles(tiles: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Lay tiles out along the rows of a grid, 1 black pixel apart.

    Args:
        tiles: (n, h, w, C).
        rows, columns: of the grid, at least n places; those without a tile stay black.

    Returns:
        (height, width, C).
    """
    count, height, width, channels = tiles.shape
    # a gap above and left of each
    framed = np.pad(tiles, ((0, rows * columns - count), (_GAP, 0), (_GAP, 0), (0, 0)))
    height, width = height + _GAP, width + _GAP
    picture = framed.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return np.pad(
        picture.reshape(rows * height, columns * width, channels), ((0, _GAP), (0, _GAP), (0, 0))
    )
