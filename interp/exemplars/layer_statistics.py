"""The statistics of a layer over a set of images, of a size that does not depend on how many; they
merge.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interp.exemplars.activation_summary import ActivationSummary
from interp.exemplars.moments import Moments
from interp.exemplars.topk import TopK
from interp.layer import Form

# What images are ranked by: the largest and the smallest activation over positions, the mean over
# positions from the highest and from the lowest, the largest |h|, and the largest |mean|.
RankedBy = Literal["max", "min", "mean", "lowest_mean", "magnitude", "mean_magnitude"]
ORDERS: tuple[RankedBy, ...] = (
    "max",
    "min",
    "mean",
    "lowest_mean",
    "magnitude",
    "mean_magnitude",
)

_OF_FORM: dict[tuple[Form, str], RankedBy] = {
    ("value", "max"): "max",
    ("value", "mean"): "mean",
    ("neg", "max"): "min",
    ("neg", "mean"): "lowest_mean",
    ("abs", "max"): "magnitude",
    ("abs", "mean"): "mean_magnitude",
}


def order_of(form: Form, by: Literal["max", "mean"]) -> RankedBy:
    """Find the order in which the images come that a unit, minus it or its magnitude is largest on.

    Args:
        form: of the unit.
        by: what of an image counts: the largest value at any position, or the mean over positions
            (of a magnitude that of the mean, not the mean of magnitudes).

    Returns:
        One of `ORDERS`.
    """
    return _OF_FORM[form, by]


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What is known of each of U units after a set of images.

    Statistics of different images merge in any order, by any tree. The top k are exactly the same
    whatever the order; of moments see `Moments`.

    Attributes:
        tops: by each of ORDERS, the k best images a unit: `min` and `lowest_mean` hold minus the
            activations, `magnitude` and `mean_magnitude` hold their magnitudes and ~position, which
            is negative, where the activation is negative.
        labels: the best by maximum a unit and label, with unit * number of labels + label as its
            units; None without labels.
        moments: of all images.
    """

    tops: dict[RankedBy, TopK]
    labels: TopK | None
    moments: Moments

    @staticmethod
    def of(
        summary: ActivationSummary,
        ids: Tensor,
        k: int,
        labels: Tensor | None = None,
        label_count: int = 0,
        label_k: int = 0,
    ) -> "LayerStatistics":
        """Compute the statistics of a set of images.

        Args:
            summary: of N images, at least 1.
            ids: (N,) int64 from 0, of which none is given twice.
            k: images kept a unit, by each of ORDERS.
            labels: (N,) int64 below `label_count`; negative: unknown. Without them, or with
                `label_k` 0, none is kept by label.
            label_count: how many labels there are.
            label_k: images kept a unit and label.

        Raises:
            ValueError: an activation is not a number.
        """
        if any(value.isnan().any() for value in (summary.maximum, summary.minimum, summary.mean)):
            raise ValueError("an activation is not a number")
        nowhere = torch.zeros_like(summary.at_maximum)
        columns: dict[RankedBy, tuple[Tensor, Tensor]] = {
            "max": (summary.maximum, summary.at_maximum),
            "min": (-summary.minimum, summary.at_minimum),
            "mean": (summary.mean, nowhere),
            "lowest_mean": (-summary.mean, nowhere),
            "magnitude": summary.magnitude,
            "mean_magnitude": (
                summary.mean.abs(),
                nowhere.where(summary.mean >= 0, ~nowhere),
            ),
        }
        tops = {order: _top(*columns[order], ids, k) for order in ORDERS}
        by_label = (
            _by_label(summary, ids, labels, label_count, label_k)
            if labels is not None and label_count and label_k
            else None
        )
        return LayerStatistics(tops, by_label, Moments.of(summary))

    @property
    def images(self) -> int:
        """How many there are in the set."""
        return self.moments.images

    def merge(self, other: "LayerStatistics") -> "LayerStatistics":
        """Compute the statistics of two sets together, which have no image in common.

        Args:
            other: of the same layer.

        Returns:
            The statistics of both; these and the other are left as they are.

        Raises:
            ValueError: they are of other layers, or keep other numbers of images.
        """
        if (self.labels is None) != (other.labels is None):
            raise ValueError("one of the sets has labels, the other does not")
        tops = {order: top.merge(other.tops[order]) for order, top in self.tops.items()}
        labels = (
            self.labels.merge(other.labels)
            if self.labels is not None and other.labels is not None
            else None
        )
        return LayerStatistics(tops, labels, self.moments.merge(other.moments))


def _top(values: Tensor, positions: Tensor, ids: Tensor, k: int) -> TopK:
    top = TopK(values.shape[1], k)
    top.update(values, positions, ids)
    return top


def _by_label(summary: ActivationSummary, ids: Tensor, labels: Tensor, count: int, k: int) -> TopK:
    units = summary.maximum.shape[1]
    whole = TopK(units * count, k)
    keys, positions = whole.keys.view(units, count, k), whole.positions.view(units, count, k)
    for label in sorted(set(labels[labels >= 0].tolist())):
        rows = (labels == label).nonzero()[:, 0]
        top = _top(summary.maximum[rows], summary.at_maximum[rows], ids[rows], k)
        keys[:, label], positions[:, label] = top.keys, top.positions
    return whole
