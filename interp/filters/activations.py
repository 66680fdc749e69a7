"""The feature maps of a layer on an image, strongest units first."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.filters.heat_map import heat_maps
from interp.probe import Probe, Procedure

UnitOrder = Literal["peak", "mean", "magnitude"]

_TILE = 64  # pixels of a map, about
_MAX_ZOOM = 32
_MAX_PIXELS = 4_000_000  # beyond which a picture is drawn smaller


@dataclass(frozen=True)
class UnitActivation:
    """How active one unit is, and where most.

    Attributes:
        unit: its number in the layer, from 0.
        value: what it is ordered by: its peak, its mean or its largest magnitude.
        row, column: where its largest activation (or magnitude) is; 0, 0 in a layer without rows
            and columns.
    """

    unit: int
    value: float
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class Activations:
    """The activations of a layer on one image.

    Attributes:
        units: the strongest ones, ties by number.
        maps: (all units, rows, columns) or (all units,) float32, in the layer's order.
    """

    units: list[UnitActivation]
    maps: NDArray[np.float32]

    @property
    def of_units(self) -> NDArray[np.float32]:
        """The maps of `units`, in their order."""
        return self.maps[[one.unit for one in self.units]]


def strongest_units(
    image: Tensor, layer: str, k: int, order: UnitOrder = "peak"
) -> Procedure[Activations]:
    """Find the k strongest units of a layer on an image, and all its maps.

    Args:
        image: (1, C, H, W) in [0, 1].
        layer: with output (units, rows, columns) or (units,); "logits" too.
        k: at least 1; all units if there are fewer.
        order: by the largest activation over positions, by their mean, or by the largest magnitude.
    """
    answer = yield Probe(image, gradient=False, layers=(layer,))
    maps = answer.activations[layer][0].float().cpu().numpy()
    return Activations(rank_units(maps, k, order), maps)


def rank_units(maps: NDArray[np.float32], k: int, order: UnitOrder) -> list[UnitActivation]:
    """Rank the units of a layer.

    Args:
        maps: (units, rows, columns) or (units,).
        k: how many to return, at least 1; all units if there are fewer.
        order: see `strongest_units`.

    Returns:
        the strongest first, ties by number.
    """
    flat = maps.reshape(len(maps), -1)
    sizes = np.abs(flat) if order == "magnitude" else flat
    values = flat.mean(1, dtype=np.float64) if order == "mean" else sizes.max(1).astype(np.float64)
    columns = maps.shape[2] if maps.ndim == 3 else 1
    places = sizes.argmax(1)  # the first of equal ones
    chosen = np.argsort(-values, kind="stable")[:k].tolist()
    return [
        UnitActivation(unit, float(values[unit]), *divmod(int(places[unit]), columns))
        for unit in chosen
    ]


def draw_activations(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw maps as a grid of heat maps; zero is nearly black.

    Beyond 4 megapixels a picture is drawn with fewer pixels a value, but one.

    Args:
        maps: (n, rows, columns), each drawn in its own range; or values (n,), which are one square
            each, all in one range.

    Returns:
        (height, width, 3) RGB.
    """
    squares = maps if maps.ndim == 3 else maps[:, None, None]
    count, height, width = squares.shape
    tile = _TILE if maps.ndim == 3 else _TILE // 4
    affordable = math.isqrt(_MAX_PIXELS // (count * height * width))
    zoom = max(1, min(round(tile / max(height, width)), _MAX_ZOOM, affordable))
    columns = min(count, math.ceil(math.sqrt(count * height / width)))
    return heat_maps(squares, zoom, columns, together=maps.ndim == 1)
