"""How a picture stands beside a data set: its activation over the largest on any image, by an
exemplar index.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp.layer import LayerPath
from service.index.store import IndexStore
from service.index.types import IndexMissing, Maxima, Subject
from service.visualization.cache import Picture


@dataclass(frozen=True)
class Standing:
    """What an index adds to a picture's certificate; shares and ratios are None where they are not
    defined.

    Attributes:
        maximum: the largest value of the same functional on any image.
        ratio, held_out_ratio: of activation and held-out mean to it, where it is above 0.
        percentile: share of the images on which the functional is lower than on the picture.
        relative_rank: place of the unit among its layer's by activation over each unit's own
            maximum.
    """

    maximum: float
    ratio: float | None
    held_out_ratio: float | None
    percentile: float
    relative_rank: int | None
    dataset: str
    images: int


@dataclass(frozen=True, eq=False)
class Yardstick:
    """The index of one layer over one data set. A channel's mean is compared with means, a neuron
    with the unit's maximum anywhere.
    """

    index: IndexStore
    subject: Subject
    layer: str
    maxima: Maxima

    @staticmethod
    def find(
        index: IndexStore, model: str, digest: str, layer: str, subject: Subject | None
    ) -> "Yardstick | None":
        """That of a data set, or of the one with the most images; None if there is no index at all.
        Reads files.

        Raises:
            IndexMissing: a data set is named, and has no index of the layer.
        """
        if subject is None:
            indexed = index.indexed(model, digest, layer)
            maxima = index.maxima(indexed[0], layer) if indexed else None
            return None if maxima is None else Yardstick(index, indexed[0], layer, maxima)
        maxima = index.maxima(subject, layer)
        if maxima is None:
            what = f"of model {model!r}, data set {subject.dataset!r} and layer {layer!r}"
            raise IndexMissing(f"there is no index {what}: build it first")
        return Yardstick(index, subject, layer, maxima)

    def bars(self, path: LayerPath) -> NDArray[np.float32]:
        """(K,) what each unit of the layer reaches at most, by the functional of such a path."""
        return self.maxima.maximum_mean if path.position is None else self.maxima.maximum

    def bar(self, path: LayerPath) -> float:
        """What the path's unit reaches at most."""
        assert path.unit is not None
        return float(self.bars(path)[path.unit])

    def standing(self, path: LayerPath, picture: Picture) -> Standing | None:
        """How a picture of the path's unit stands; None if the index is gone by now, or its
        activation is not a number. Reads files.
        """
        assert path.unit is not None
        if math.isnan(picture.activation):
            return None
        maximum = self.bar(path)
        try:
            percentile = self.index.percentile(
                self.subject,
                self.layer,
                path.unit,
                picture.activation,
                "mean" if path.position is None else "max",
            )
        except IndexMissing:
            return None
        return Standing(
            maximum,
            picture.activation / maximum if maximum > 0 else None,
            picture.held_out / maximum if maximum > 0 else None,
            percentile,
            relative_rank(picture.layer_activations, self.bars(path), path.unit),
            self.subject.dataset,
            self.maxima.images,
        )


def relative_rank(
    activations: NDArray[np.float32], bars: NDArray[np.float32], unit: int
) -> int | None:
    """The place of a unit by activation over its own maximum, 1 for the highest; whatever ties with
    it goes before it.

    Units (K,) that the data set never raises above 0 go before all others where the picture does.
    None where the unit is one of them, or activations are unknown.
    """
    if len(activations) != len(bars) or not bars[unit] > 0:
        return None
    never = np.where(activations > 0, math.inf, -math.inf)
    ratios = np.divide(activations.astype(np.float64), bars, out=never, where=bars > 0)
    return int((ratios >= ratios[unit]).sum())
