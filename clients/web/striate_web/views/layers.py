"""The layers of a network as its pages tell of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from striate import Layer, ReceptiveField
    from striate.aio import AsyncModel

LOGITS = "logits"
_WRAPPERS = ("Sequential", "ModuleList", "ModuleDict")
_MOST_ROWS = 24  # of the way through a network


@dataclass(frozen=True)
class LayerView:
    """A layer, or the logits.

    Attributes:
        name: As requests call it.
        title: Without the quotes that odd characters need there; part of addresses.
        units: How many.
        layer: What the server says of it, None for the logits.
    """

    name: str
    title: str
    units: int
    layer: Layer | None

    @property
    def receptive(self) -> ReceptiveField | None:
        """What of the input a unit sees, None for all of it."""
        return None if self.layer is None else self.layer.receptive_field


def bare(name: str) -> str:
    """A layer's name without the quotes in which requests write odd ones."""
    quote = name[:1]
    if quote in ('"', "'") and len(name) > 1 and name.endswith(quote):
        return name[1:-1].replace(2 * quote, quote)
    return name


def view(layer: Layer) -> LayerView:
    """What pages show of a layer."""
    units = layer.output_shape[0] if layer.output_shape and not layer.unavailable else 0
    return LayerView(layer.name, bare(layer.name), units, layer)


def find(net: AsyncModel, title: str) -> LayerView:
    """Finds a layer by the part of an address.

    Args:
        net: The network.
        title: The layer's name with or without quotes, or "logits".

    Returns:
        The layer.

    Raises:
        HTTPException: The network has none of that name (404).
    """
    for layer in net.layers:
        if title in (layer.name, bare(layer.name)):
            return view(layer)
    if title == LOGITS:
        return LayerView(LOGITS, LOGITS, len(net.classes), None)
    names = [*(bare(layer.name) for layer in net.layers), LOGITS]
    near = difflib.get_close_matches(title, names, 3, 0.4)
    meant = f" Perhaps {' or '.join(near)} is meant." if near else ""
    raise HTTPException(404, f"{net.name} has no layer {title}.{meant}")


def way(layers: Sequence[Layer]) -> list[LayerView]:
    """Chooses the layers that tell of the way from edges to objects: the outermost blocks, and the
    layers with weights that stand in none; of very many, evenly spaced ones.

    Args:
        layers: All layers in the order of the forward pass.

    Returns:
        The layers, in that order.
    """
    blocks = {
        layer.name
        for layer in layers
        if layer.type not in _WRAPPERS and any(_inside(other, layer.name) for other in layers)
    }
    chosen = [
        layer
        for layer in layers
        if layer.type not in _WRAPPERS
        and layer.parameters
        and layer.receptive_field is not None
        and not layer.unavailable
        and "Norm" not in layer.type
        and not any(_inside(layer, block) for block in blocks)
    ]
    if len(chosen) > _MOST_ROWS:
        last = len(chosen) - 1
        places = {round(row * last / (_MOST_ROWS - 1)) for row in range(_MOST_ROWS)}
        chosen = [chosen[place] for place in sorted(places)]
    return [view(layer) for layer in chosen]


def _inside(layer: Layer, block: str) -> bool:
    return bare(layer.name).startswith(f"{bare(block)}.")
