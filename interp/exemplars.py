"""Which images of a data set a layer's units are most active on: exact, in one pass, in memory independent of its size."""

from collections.abc import Sequence

import torch
from torch import Tensor

from interp.ascent import Probe, Procedure

_EMPTY = torch.iinfo(torch.int64).max  # id of a place that no image has taken; behind every real id


class TopK:
    """The k images with the highest activation, for each of many units.

    Higher activations come first, equal ones in order of image id. An activation is any number, also a negative one or
    -inf. The result does not depend on how the images are split into updates and merges, nor on their order, as long
    as no image is given twice.

    Attributes:
        values: (units, k) float32, activations, best first.
        positions: (units, k) int64, where in the layer's map the activation was.
        ids: (units, k) int64; places that are still free lie behind the others.
    """

    def __init__(self, units: int, k: int) -> None:
        if units < 1 or k < 1:
            raise ValueError(f"units and k must be at least 1, not {units} and {k}")
        self.values = torch.full((units, k), -torch.inf)
        self.positions = torch.zeros((units, k), dtype=torch.int64)
        self.ids = torch.full((units, k), _EMPTY)

    @classmethod
    def restore(cls, values: Tensor, positions: Tensor, ids: Tensor) -> "TopK":
        """One whose attributes were saved."""
        if values.ndim != 2 or not values.shape == positions.shape == ids.shape:
            raise ValueError(f"three tensors (units, k) are needed, not {[tuple(t.shape) for t in (values, positions, ids)]}")
        top = cls(*values.shape)
        top.values, top.positions, top.ids = values.float(), positions.long(), ids.long()
        return top

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.values)

    @property
    def k(self) -> int:
        """Images kept a unit."""
        return self.values.shape[1]

    def update(self, values: Tensor, positions: Tensor, ids: Tensor) -> None:
        """Take in a batch: values (B, units), positions (B, units) integers, ids (B,) of images not seen before, from 0.

        Raises:
            ValueError: a value is NaN, a shape does not fit, or an id is out of range.
        """
        if not values.shape == positions.shape == (len(ids), self.units):
            shapes = f"values are {tuple(values.shape)}, positions {tuple(positions.shape)}"
            raise ValueError(f"for {len(ids)} images of {self.units} units, {shapes}")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < _EMPTY:
            raise ValueError(f"image ids must be from 0 to {_EMPTY - 1}")
        if values.isnan().any():
            raise ValueError("an activation is not a number")
        values, positions, ids = values.to("cpu", torch.float32), positions.cpu().long(), ids.cpu().long()
        worst = self.values[:, -1]
        enters = (values > worst) | ((values == worst) & (ids[:, None] < self.ids[:, -1]))  # (B, units)
        rows, units = enters.any(1).nonzero()[:, 0], enters.any(0).nonzero()[:, 0]  # most images are soon too weak for most units
        if len(rows):
            new_ids = ids[rows].expand(len(units), -1)
            self._fold(units, values[rows][:, units].T, positions[rows][:, units].T, new_ids)

    def merge(self, other: "TopK") -> "TopK":
        """The top k of both, which have seen different images; both are left as they are.

        Raises:
            ValueError: the other has another number of units or another k.
        """
        if self.values.shape != other.values.shape:
            raise ValueError(f"{tuple(self.values.shape)} and {tuple(other.values.shape)} (units, k) cannot be merged")
        merged = TopK.restore(self.values.clone(), self.positions.clone(), self.ids.clone())
        merged._fold(torch.arange(self.units), other.values, other.positions, other.ids)
        return merged

    def best(self, unit: int) -> list[tuple[int, float, int]]:
        """(image id, activation, position) of a unit's images, best first; fewer than k if fewer were seen."""
        rows = zip(self.ids[unit].tolist(), self.values[unit].tolist(), self.positions[unit].tolist(), strict=True)
        return [row for row in rows if row[0] != _EMPTY]

    def _fold(self, units: Tensor, values: Tensor, positions: Tensor, ids: Tensor) -> None:
        """Take in values, positions and ids (len(units), n) for the units numbered `units`."""
        values = torch.cat([self.values[units], values], 1)
        positions = torch.cat([self.positions[units], positions], 1)
        ids = torch.cat([self.ids[units], ids], 1)
        order = ids.argsort(dim=1, stable=True)
        order = order.gather(1, values.gather(1, order).argsort(dim=1, descending=True, stable=True))[:, : self.k]
        self.values[units] = values.gather(1, order)
        self.positions[units] = positions.gather(1, order)
        self.ids[units] = ids.gather(1, order)


def peaks(images: Tensor, layers: Sequence[str]) -> Procedure[dict[str, tuple[Tensor, Tensor]]]:
    """Each unit's highest activation on images (B, C, H, W), and where: layer -> values (B, U) and positions (B, U) int64.

    A position counts along the rows of the unit's map (U, H, W), the first one if several are equally high; it is 0 for
    layers (U,). Both are on the CPU.
    """
    answer = yield Probe(images, gradient=False, layers=tuple(layers))
    return {layer: _peak(answer.activations[layer]) for layer in layers}


def observe(images: Tensor, ids: Tensor, tops: dict[str, TopK]) -> Procedure[None]:
    """Take images (B, C, H, W) in [0, 1] numbered `ids` (B,) into the top k of each layer of `tops`.

    Raises:
        ValueError: an activation is not a number; no layer has then taken in any of the images.
    """
    found = yield from peaks(images, list(tops))
    for layer, (values, _) in found.items():
        if values.isnan().any():
            raise ValueError(f"an activation of layer {layer!r} is not a number")
    for layer, top in tops.items():
        top.update(*found[layer], ids)


def _peak(activation: Tensor) -> tuple[Tensor, Tensor]:
    if activation.ndim == 2:
        return activation.cpu(), torch.zeros(activation.shape, dtype=torch.int64)
    values, positions = activation.flatten(2).max(2)  # the first of equal maxima
    return values.cpu(), positions.cpu()


def crop_rectangle(
    position: tuple[int, int], offset: tuple[int, int], jump: tuple[int, int], field: tuple[int, int], image: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The pixels that a position of a layer depends on, inside the image: (top, left, height, width).

    All arguments are (vertical, horizontal). Position (i, j) covers the rows from offset + i * jump, `field` many, likewise
    columns; what lies outside `image` is cut off. A field wholly in the padding gives the nearest pixel.
    """
    spans = [_span(*axis) for axis in zip(position, offset, jump, field, image, strict=True)]
    (top, height), (left, width) = spans
    return top, left, height, width


def _span(position: int, offset: int, jump: int, field: int, extent: int) -> tuple[int, int]:
    start = offset + position * jump
    first = min(max(start, 0), extent - 1)
    return first, max(min(start + field, extent) - first, 1)
