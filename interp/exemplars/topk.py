"""The k best of a stream, for many units at once: exact, ties broken by image id, the same in
whatever order they come.
"""

import torch
from torch import Tensor

MOST_IDS = 2**32 - 1  # image ids lie below it; it is the id of a place that no image has taken
_LOW = 0xFFFFFFFF
_MAGNITUDE = 0x7FFFFFFF  # the bits of a float32 beside its sign


class TopK:
    """The k images with the highest value, for each of many units.

    Higher values come first, equal ones in order of image id. A value is any number, also a
    negative one or -inf. The result does not depend on how the images are split into updates and
    merges, nor on their order, as long as no image is given twice.

    A value and an id make one integer whose order is that of the places: the value's bits above, as
    an integer that grows with it, and below them what is left to the largest id. So one selection
    of the k largest integers settles everything.
    """

    def __init__(self, units: int, k: int) -> None:
        """Begin without any image.

        Args:
            units: how many, at least 1.
            k: images kept a unit, at least 1.

        Raises:
            ValueError: either is below 1.
        """
        if units < 1 or k < 1:
            raise ValueError(f"units and k must be at least 1, not {units} and {k}")
        self.keys = _keys(
            torch.full((units, k), -torch.inf), torch.tensor(MOST_IDS)
        )  # (units, k) int64, best first
        self.positions = torch.zeros((units, k), dtype=torch.int64)

    @classmethod
    def restore(cls, values: Tensor, positions: Tensor, ids: Tensor) -> "TopK":
        """Make one again from its saved attributes.

        Args:
            values, positions, ids: (units, k), as the attributes of these names.

        Raises:
            ValueError: the shapes differ, or are not (units, k).
        """
        if values.ndim != 2 or not values.shape == positions.shape == ids.shape:
            raise ValueError(
                f"three tensors (units, k) are needed, not "
                f"{[tuple(t.shape) for t in (values, positions, ids)]}"
            )
        top = cls(*values.shape)
        top.keys, top.positions = _keys(values.float(), ids.long()), positions.long()
        return top

    @property
    def values(self) -> Tensor:
        """(units, k) float32, best first."""
        return _floats(self.keys >> 32)

    @property
    def ids(self) -> Tensor:
        """(units, k) int64; places that are still free lie behind the others, and hold MOST_IDS."""
        return MOST_IDS - (self.keys & _LOW)

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.keys)

    @property
    def k(self) -> int:
        """Images kept a unit."""
        return self.keys.shape[1]

    def update(self, values: Tensor, positions: Tensor, ids: Tensor) -> None:
        """Add a batch of images.

        Args:
            values: (B, units).
            positions: (B, units) integers, kept with the values.
            ids: (B,) from 0, of images that have not been added before.

        Raises:
            ValueError: a value is NaN, a shape does not fit, or an id is out of range.
        """
        if not values.shape == positions.shape == (len(ids), self.units):
            shapes = f"values are {tuple(values.shape)}, positions {tuple(positions.shape)}"
            raise ValueError(f"for {len(ids)} images of {self.units} units, {shapes}")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < MOST_IDS:
            raise ValueError(f"image ids must be from 0 to {MOST_IDS - 1}")
        if values.isnan().any():
            raise ValueError("a value is not a number")
        values, positions, ids = values.to("cpu", torch.float32), positions.cpu(), ids.cpu().long()
        enters = (
            (values >= self.values[:, -1]).any(1).nonzero()[:, 0]
        )  # most images are soon too weak
        rows = enters[ids[enters].argsort()]
        if len(rows):
            best = values[rows].T.contiguous()  # (units, n), in order of id
            chosen = _first(best, min(self.k, len(rows)))
            self._add(
                _keys(best.gather(1, chosen), ids[rows][chosen]),
                positions[rows].T.gather(1, chosen).long(),
            )

    def merge(self, other: "TopK") -> "TopK":
        """Merge the top k of different images; both are left as they are.

        Args:
            other: of the same units and k, on other images.

        Returns:
            The merged top k.

        Raises:
            ValueError: the other has another number of units or another k.
        """
        if self.keys.shape != other.keys.shape:
            raise ValueError(
                f"{tuple(self.keys.shape)} and {tuple(other.keys.shape)} (units, k) cannot "
                f"be merged"
            )
        merged = TopK(self.units, self.k)
        merged.keys, merged.positions = self.keys, self.positions
        merged._add(other.keys, other.positions)
        return merged

    def best(self, unit: int) -> list[tuple[int, float, int]]:
        """List the images of a unit.

        Args:
            unit: its number, from 0.

        Returns:
            (image id, value, position) of each, best first; fewer than k if fewer were added.
        """
        keys, positions = self.keys[unit], self.positions[unit]
        rows = zip(
            (MOST_IDS - (keys & _LOW)).tolist(),
            _floats(keys >> 32).tolist(),
            positions.tolist(),
            strict=True,
        )
        return [row for row in rows if row[0] != MOST_IDS]

    def _add(self, keys: Tensor, positions: Tensor) -> None:
        """Keep the best of these and of further keys and positions (units, n)."""
        keys, positions = torch.cat([self.keys, keys], 1), torch.cat([self.positions, positions], 1)
        self.keys, order = keys.topk(self.k)
        self.positions = positions.gather(1, order)


def _first(values: Tensor, k: int) -> Tensor:
    """Where the k largest of values (units, n) are, of equal ones the first: (units, k) int64, in
    no order.
    """
    worst = values.topk(k).values[:, -1:]
    places = torch.arange(values.shape[1], dtype=torch.int32)
    lowest, highest = torch.tensor(
        [torch.iinfo(torch.int32).min, torch.iinfo(torch.int32).max], dtype=torch.int32
    )
    better = torch.where(
        values > worst, highest, lowest
    )  # fewer than k are better than the worst of them
    return torch.where(values == worst, -places, better).topk(k).indices


def _keys(values: Tensor, ids: Tensor) -> Tensor:
    """float32 values and int64 ids that broadcast with them -> int64: larger for larger values,
    then for smaller ids.
    """
    bits = (
        (values + 0.0).contiguous().view(torch.int32).long()
    )  # the sum makes -0 what it equals, 0
    ordered = torch.where(
        bits < 0, bits ^ _MAGNITUDE, bits
    )  # of negative numbers, the one with fewer magnitude is the larger
    return ordered << 32 | (MOST_IDS - ids)


def _floats(ordered: Tensor) -> Tensor:
    bits = torch.where(ordered < 0, ordered ^ _MAGNITUDE, ordered)
    return bits.int().view(torch.float32)
