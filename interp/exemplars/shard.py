"""The statistics of a layer over a set of images, of a size that does not depend on how many; they
merge.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.exemplars.moments import Moments
from interp.exemplars.peaks import Peaks
from interp.exemplars.topk import TopK

ORDERS = ("max", "min", "mean", "magnitude")


@dataclass(frozen=True, eq=False)
class Shard:
    """What is known of each of U units after a set of images. Shards of different images merge in
    any order, by any tree.

    The top k are exactly the same whatever the order; of moments see `Moments`.

    Attributes:
        tops: by each of ORDERS, the k best images a unit: `min` holds minus the minima, `magnitude`
            holds |h| and ~position, which is negative, where the activation is negative.
        labels: the best by maximum a unit and label, with unit * number of labels + label as its
            units; None without labels.
    """

    tops: dict[str, TopK]
    labels: TopK | None
    moments: Moments

    @staticmethod
    def of(
        found: Peaks,
        ids: Tensor,
        k: int,
        labels: Tensor | None = None,
        label_count: int = 0,
        label_k: int = 0,
    ) -> "Shard":
        """Of images with peaks (N, U), N at least 1, and ids (N,) int64 from 0, of which none is
        given twice.

        Args:
            labels: (N,) int64 below `label_count`; negative: unknown. Without them, or with
                `label_k` 0, none is kept by label.

        Raises:
            ValueError: an activation is not a number.
        """
        if any(value.isnan().any() for value in (found.maximum, found.minimum, found.mean)):
            raise ValueError("an activation is not a number")
        nowhere = torch.zeros_like(found.at_maximum)
        columns = {
            "max": (found.maximum, found.at_maximum),
            "min": (-found.minimum, found.at_minimum),
            "mean": (found.mean, nowhere),
            "magnitude": found.magnitude,
        }
        tops = {order: _top(*columns[order], ids, k) for order in ORDERS}
        by_label = (
            _by_label(found, ids, labels, label_count, label_k)
            if labels is not None and label_count and label_k
            else None
        )
        return Shard(tops, by_label, Moments.of(found))

    @property
    def images(self) -> int:
        """How many there are in the set."""
        return self.moments.images

    def merge(self, other: "Shard") -> "Shard":
        """The statistics of both sets, which have no image in common.

        Raises:
            ValueError: they are of other layers, or keep other numbers of images.
        """
        if (self.labels is None) != (other.labels is None):
            raise ValueError("one of the shards knows labels, the other does not")
        tops = {order: top.merge(other.tops[order]) for order, top in self.tops.items()}
        labels = (
            self.labels.merge(other.labels)
            if self.labels is not None and other.labels is not None
            else None
        )
        return Shard(tops, labels, self.moments.merge(other.moments))


def _top(values: Tensor, positions: Tensor, ids: Tensor, k: int) -> TopK:
    top = TopK(values.shape[1], k)
    top.update(values, positions, ids)
    return top


def _by_label(found: Peaks, ids: Tensor, labels: Tensor, count: int, k: int) -> TopK:
    units = found.maximum.shape[1]
    whole = TopK(units * count, k)
    keys, positions = whole.keys.view(units, count, k), whole.positions.view(units, count, k)
    for label in sorted(set(labels[labels >= 0].tolist())):
        rows = (labels == label).nonzero()[:, 0]
        top = _top(found.maximum[rows], found.at_maximum[rows], ids[rows], k)
        keys[:, label], positions[:, label] = top.keys, top.positions
    return whole
