"""The feature maps of a layer on an image, strongest units first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.filters.heatmap import heat_maps
from interp.probe import Probe, Procedure

Order = Literal["peak", "mean", "magnitude"]

_TILE = 64  # pixels of a map, about
_MOST_ZOOM = 32
_MOST_PIXELS = 4_000_000  # beyond which a picture is drawn smaller


@dataclass(frozen=True)
class UnitActivation:
    """One unit: what it is ordered by, and where its largest activation (or magnitude) is; 0, 0 in
    a layer without rows and columns.
    """

    unit: int
    value: float
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class Activations:
    """units: strongest first, ties by number; maps: (all units, rows, columns) or (all units,)
    float32, in the layer's order.
    """

    units: list[UnitActivation]
    maps: NDArray[np.float32]

    @property
    def of_units(self) -> NDArray[np.float32]:
        """The maps of `units`, in their order."""
        return self.maps[[one.unit for one in self.units]]


def strongest(image: Tensor, layer: str, k: int, order: Order = "peak") -> Procedure[Activations]:
    """The k strongest units of a layer on an image (1, C, H, W) in [0, 1], and all maps.

    Args:
        layer: with output (units, rows, columns) or (units,); "logits" too.
        k: at least 1; all units if there are fewer.
        order: by the largest activation over positions, by their mean, or by the largest magnitude.
    """
    answer = yield Probe(image, gradient=False, layers=(layer,))
    maps = answer.activations[layer][0].float().cpu().numpy()
    return Activations(rank(maps, k, order), maps)


def rank(maps: NDArray[np.float32], k: int, order: Order) -> list[UnitActivation]:
    """The k strongest units of maps (units, rows, columns) or (units,); see `strongest`."""
    flat = maps.reshape(len(maps), -1)
    sought = np.abs(flat) if order == "magnitude" else flat
    values = flat.mean(1, dtype=np.float64) if order == "mean" else sought.max(1).astype(np.float64)
    columns = maps.shape[2] if maps.ndim == 3 else 1
    places = sought.argmax(1)  # the first of equal ones
    chosen = np.argsort(-values, kind="stable")[:k].tolist()
    return [
        UnitActivation(unit, float(values[unit]), *divmod(int(places[unit]), columns))
        for unit in chosen
    ]


def draw_activations(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw maps (n, rows, columns) as a grid (height, width, 3) of heat maps, each in its own
    range; zero is nearly black.

    Values (n,) are one square each, all in one range. Beyond 4 megapixels a picture is drawn with
    fewer pixels a value, but one.
    """
    squares = maps if maps.ndim == 3 else maps[:, None, None]
    count, height, width = squares.shape
    tile = _TILE if maps.ndim == 3 else _TILE // 4
    affordable = math.isqrt(_MOST_PIXELS // (count * height * width))
    zoom = max(1, min(round(tile / max(height, width)), _MOST_ZOOM, affordable))
    columns = min(count, math.ceil(math.sqrt(count * height / width)))
    return heat_maps(squares, zoom, columns, together=maps.ndim == 1)


def check_shape(shape: Sequence[int]) -> None:
    """Raises ValueError unless `shape` is (units, rows, columns) or (units,)."""
    if len(shape) not in (1, 3):
        raise ValueError("must name a layer whose output is (units,) or (units, rows, columns)")
