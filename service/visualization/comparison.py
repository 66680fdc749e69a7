"""How a picture compares with a data set: its activation over the largest on any image, by an
exemplar index.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp.layer import LayerPath
from service.index.store import IndexStore
from service.index.types import IndexMissing, Maxima, Subject
from service.visualization.cache import Picture


@dataclass(frozen=True)
class DatasetComparison:
    """What an index adds to a picture's certificate; shares and ratios are None where they are not
    defined.

    Attributes:
        maximum: the largest value of the same functional on any image.
        ratio: of the activation to it, where it is above 0.
        held_out_ratio: of the mean under the held-out views to it, where it is above 0.
        percentile: share of the images on which the functional is lower than on the picture, 0 to
            1.
        relative_rank: place of the unit among its layer's by activation over each unit's own
            maximum, from 1.
        dataset: name of the data set.
        images: number of its images.
    """

    maximum: float
    ratio: float | None
    held_out_ratio: float | None
    percentile: float
    relative_rank: int | None
    dataset: str
    images: int


@dataclass(frozen=True, eq=False)
class LayerMaxima:
    """What the units of one layer reach on one data set, by its index.

    A channel's mean is compared with means, a neuron with the unit's maximum anywhere.
    """

    index: IndexStore
    subject: Subject
    layer: str
    maxima: Maxima

    @staticmethod
    def find(
        index: IndexStore, model: str, digest: str, layer: str, subject: Subject | None
    ) -> "LayerMaxima | None":
        """Find the index of a layer. Reads files.

        Args:
            index: where indexes are kept.
            model: name of the model.
            digest: of its weights.
            layer: the layer.
            subject: the data set; None for that with the most images.

        Returns:
            The layer's maxima; None if no data set is named, and there is no index at all.

        Raises:
            IndexMissing: A data set is named, and has no index of the layer.
        """
        if subject is None:
            indexed = index.indexed(model, digest, layer)
            maxima = index.maxima(indexed[0], layer) if indexed else None
            return None if maxima is None else LayerMaxima(index, indexed[0], layer, maxima)
        maxima = index.maxima(subject, layer)
        if maxima is None:
            what = f"of model {model!r}, data set {subject.dataset!r} and layer {layer!r}"
            raise IndexMissing(f"there is no index {what}: build it first")
        return LayerMaxima(index, subject, layer, maxima)

    def of_layer(self, path: LayerPath) -> NDArray[np.float32]:
        """Return what each unit of the layer reaches at most.

        Args:
            path: a unit or neuron, whose functional counts.

        Returns:
            (K,).
        """
        return self.maxima.maximum_mean if path.position is None else self.maxima.maximum

    def maximum(self, path: LayerPath) -> float:
        """Return what a unit reaches at most.

        Args:
            path: a unit or neuron of the layer.
        """
        assert path.unit is not None
        return float(self.of_layer(path)[path.unit])

    def compare(self, path: LayerPath, picture: Picture) -> DatasetComparison | None:
        """Compare a picture with the data set. Reads files.

        Args:
            path: the unit or neuron that it shows.
            picture: finished.

        Returns:
            The comparison; None if the index is gone by now, or the picture's activation is not a
            number.
        """
        assert path.unit is not None
        if math.isnan(picture.activation):
            return None
        maximum = self.maximum(path)
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
        return DatasetComparison(
            maximum=maximum,
            ratio=picture.activation / maximum if maximum > 0 else None,
            held_out_ratio=picture.held_out / maximum if maximum > 0 else None,
            percentile=percentile,
            relative_rank=relative_rank(picture.layer_activations, self.of_layer(path), path.unit),
            dataset=self.subject.dataset,
            images=self.maxima.images,
        )


@dataclass(frozen=True, eq=False)
class DatasetMaxima:
    """What units reach on data sets, by layer; layers without an index are absent."""

    by_layer: Mapping[str, LayerMaxima]

    @staticmethod
    def find(
        index: IndexStore, model: str, digest: str, layers: Iterable[str], subject: Subject | None
    ) -> "DatasetMaxima":
        """Find the indexes of several layers, see `LayerMaxima.find`. Reads files.

        Args:
            index: where indexes are kept.
            model: name of the model.
            digest: of its weights.
            layers: the layers.
            subject: the data set; None for that with the most images, layer by layer.

        Returns:
            The maxima of the layers that have an index.

        Raises:
            IndexMissing: A data set is named, and has no index of a layer.
        """
        found = {layer: LayerMaxima.find(index, model, digest, layer, subject) for layer in layers}
        return DatasetMaxima({layer: one for layer, one in found.items() if one is not None})

    def maximum(self, path: LayerPath | None) -> float:
        """Return what a unit reaches at most.

        Args:
            path: a unit or neuron; None for no one unit.

        Returns:
            The maximum; NaN where that is unknown.
        """
        layer = None if path is None else self.by_layer.get(path.layer)
        return math.nan if layer is None or path is None else layer.maximum(path)

    def compare(self, path: LayerPath | None, picture: Picture) -> DatasetComparison | None:
        """Compare a picture with the data set of its unit's layer. Reads files.

        Args:
            path: the unit or neuron that it shows; None for no one unit.
            picture: finished.

        Returns:
            The comparison, see `LayerMaxima.compare`; None where there is no unit or no index.
        """
        layer = None if path is None else self.by_layer.get(path.layer)
        return None if layer is None or path is None else layer.compare(path, picture)


def relative_rank(
    activations: NDArray[np.float32], maxima: NDArray[np.float32], unit: int
) -> int | None:
    """Return the place of a unit in its layer by activation over its own maximum; whatever ties
    with it goes before it.

    Units that the data set never raises above 0 go before all others where the picture does.

    Args:
        activations: (K,) of the layer's units on the picture; empty if unknown.
        maxima: (K,) of the layer's units on the data set.
        unit: from 0.

    Returns:
        1 for the highest; None where the unit's maximum is not above 0, or activations are unknown.
    """
    if len(activations) != len(maxima) or not maxima[unit] > 0:
        return None
    ratios = np.divide(
        activations.astype(np.float64),
        maxima,
        out=np.where(activations > 0, math.inf, -math.inf),
        where=maxima > 0,
    )
    return int((ratios >= ratios[unit]).sum())
