"""What exemplar indexes are about, and what they answer."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from interp.exemplars import RankedBy
from interp.layer import quoted
from service.datasets import Dataset
from service.index.files import FORMAT

Order = RankedBy | Literal["quantile"]

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
MANY_CLASSES = (
    100  # of a data set with more, one exemplar a class is kept unless more are asked for
)
MOST_BY_LABEL = (
    2**22
    # units of a layer times labels times images kept by them, of which each takes some 100 bytes
    # while shards are merged
)
MOST_CELLS = (
    2**23
)  # units times images of a shard, of which each takes some 60 bytes of memory while it is built
_LOOKED_AT = 256  # images of a data set, and less than twice as many: each takes milliseconds


class IndexMissing(LookupError):
    """There is no such index; `stale` if there is one, but of other weights, of a data set with
    other files, or in the format of another version.
    """

    def __init__(self, message: str, stale: bool = False) -> None:
        super().__init__(message)
        self.stale = stale


@dataclass(frozen=True)
class Hit:
    """An image that a unit is active on.

    Attributes:
        id: its number in the data set.
        activation: of the unit as it is, by the order asked for: the largest, the smallest, the
            mean, or that of the largest magnitude.
        row, column: where that is in the layer's map, first in row order if several; 0, 0 for means
            and linear layers.
        quantile: the share of the other images whose maximum is below, as the index was asked for
            it; None for other orders.
    """

    id: int
    activation: float
    row: int
    column: int
    quantile: float | None = None


@dataclass(frozen=True)
class ExemplarHits:
    """Images by one order of one unit, first in that order first, of so many images that the index
    was built from; so many others were left out.
    """

    hits: list[Hit]
    images: int
    left_out: int = 0


@dataclass(frozen=True, eq=False)
class UnitStatistics:
    """One unit over a data set; moments are over all images and positions.

    Attributes:
        maximum_mean, minimum_mean: the highest and the lowest mean over positions of any image.
        active_share: share of images and positions at which the unit is above 0.
        active_images: share of images on which it is above 0 anywhere.
        sparsity: of its maxima over images, 1 - mean^2 / mean square (Vinje & Gallant 2000), where
            negative maxima count as 0; 0 for a unit that is never above 0.
        histogram: (bins,) int64, of each image's maximum, evenly spaced from `histogram_low` to
            `histogram_high`, the last bin closed.
        quantiles: (Q,) float64, the shares that the index was asked for, and `quantile_values` (Q,)
            float32, the maxima there.
    """

    unit: int
    minimum: float
    maximum: float
    maximum_mean: float
    minimum_mean: float
    mean: float
    variance: float
    active_share: float
    active_images: float
    sparsity: float
    histogram_low: float
    histogram_high: float
    histogram: NDArray[np.int64]
    quantiles: NDArray[np.float64]
    quantile_values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Extremes:
    """Of each unit of a layer over `images` images: the highest and the lowest activation, and the
    highest and the lowest mean over positions, (K,) float32 each.
    """

    maximum: NDArray[np.float32]
    minimum: NDArray[np.float32]
    maximum_mean: NDArray[np.float32]
    minimum_mean: NDArray[np.float32]
    images: int

    def of(self, order: RankedBy) -> NDArray[np.float32]:
        """Return the largest value of what an order ranks images by.

        Args:
            order: e.g. "lowest_mean", of which that is minus the lowest mean.

        Returns:
            (K,).
        """
        highest, lowest = self.maximum, self.minimum
        if "mean" in order:
            highest, lowest = self.maximum_mean, self.minimum_mean
        match order:
            case "max" | "mean":
                return highest
            case "min" | "lowest_mean":
                return 0 - lowest  # not -0 where a unit is shut
        return np.maximum(highest, 0 - lowest)


@dataclass(frozen=True)
class Subject:
    """What an index is about: a model's name and the digest of its weights, a data set's name, URI,
    number of images and fingerprint of its content.
    """

    model: str
    digest: str
    dataset: str
    uri: str
    size: int
    content: str = ""

    @staticmethod
    def of(model: str, digest: str, dataset: Dataset) -> "Subject":
        """Make the subject of an index of a model with those weights over a data set.

        Args:
            model: its name.
            digest: of its weights.
            dataset: that has been opened.

        Returns:
            The subject.
        """
        return Subject(model, digest, dataset.name, dataset.uri, len(dataset), dataset.content)


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is, all builders of the index counted.

    Attributes:
        images_done: images scanned or left out, of `images`.
        lasting: a shard has just become whole, which nobody will have to do again.
        left_out: of `images_done` those that cannot be used. Until the end those that this builder
            has found itself.
    """

    images_done: int
    images: int
    shards_done: int
    shards: int
    lasting: bool
    left_out: int = 0


@dataclass(frozen=True)
class IndexPlan:
    """An index to be built.

    Args:
        shapes: output shape of each layer for one image, (U, H, W) or (U,).
        k: images kept a unit, for each order.
        limit: only the first so many images are scanned; 0: all.
        labels: the data set has labels from 0 to `labels` - 1; 0: it has none.
        class_k: images kept a unit and label, at most `most_class_k`; None: `k` for up to 100
            labels, else 1, and less where that is more.
        shard_images: images a shard at most; fewer where there are so many units that a shard would
            take much memory.
        skip_bad: images that cannot be used are left out.
        quantiles: shares of the images, each 0 to 1; the image is kept whose maximum has that share
            of the others' below it.
    """

    subject: Subject
    shapes: Mapping[str, tuple[int, ...]]
    k: int
    limit: int = 0
    labels: int = 0
    class_k: int | None = None
    shard_images: int = 4096
    quantiles: tuple[float, ...] = QUANTILES
    skip_bad: bool = False

    @property
    def images(self) -> int:
        """How many images are scanned."""
        return min(self.limit or self.subject.size, self.subject.size)

    @property
    def units(self) -> int:
        """How many units are indexed, over all layers."""
        return sum(shape[0] for shape in self.shapes.values())

    @property
    def kept(self) -> int:
        """Images kept a unit and label."""
        if not self.labels:
            return 0
        usual = self.k if self.labels <= MANY_CLASSES else 1
        return self.class_k if self.class_k is not None else min(usual, self.most_class_k)

    @property
    def most_class_k(self) -> int:
        """The most images that may be kept a unit and label, of data sets with labels."""
        return MOST_BY_LABEL // (self.labels * max(shape[0] for shape in self.shapes.values()))

    @property
    def step(self) -> int:
        """Images of every shard but the last."""
        return min(self.shard_images, max(64, MOST_CELLS // self.units))

    @property
    def shards(self) -> list[range]:
        """The images of each shard."""
        return [
            range(low, min(low + self.step, self.images))
            for low in range(0, self.images, self.step)
        ]

    @property
    def look_step(self) -> int:
        """Of so many images one is looked at, see `interp.feature.appearance`."""
        return max(1, self.images // _LOOKED_AT)

    @property
    def key(self) -> str:
        """Names the build: equal for equal plans of one format."""
        counts = [self.k, self.images, self.labels, self.kept, self.step]
        settings: list[object] = [FORMAT, *counts, sorted(self.quantiles)]
        if self.skip_bad:  # shards with gaps are of no use to a build that may have none
            settings.append("bad images are left out")
        return digest([asdict(self.subject), sorted(self.shapes.items()), *settings])


def build_command(model: str, dataset: str, layer: str) -> str:
    """Write the command that builds an index.

    Args:
        model: its name.
        dataset: its name.
        layer: its dotted name.

    Returns:
        The command, as a shell takes it.
    """
    return shlex.join(["striate", "index", model, "--dataset", dataset, "--layer", quoted(layer)])


def digest(value: object) -> str:
    """Name a JSON value by 32 hexadecimal digits.

    Args:
        value: a JSON value.

    Returns:
        The digits, the same for the same value.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
