"""How a picture compares with a data set: its activation over the largest on any image, by an
exemplar index. Of "neg(...)" and "abs(...)" the activation is that of the objective, minus the unit
or its magnitude, whose largest the index knows as well.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from interp.exemplars import RankedBy, order_of
from interp.layer import LayerPath
from service.index.store import IndexStore
from service.index.types import Extremes, IndexMissing, Subject
from service.state import DataLost
from service.visualization.cache import Picture


@dataclass(frozen=True)
class DatasetComparison:
    """What an index adds to a picture's certificate; shares and ratios are None where they are not
    defined.

    Attributes:
        maximum: the largest value of the same functional on any image: of "neg(...)" minus the
            lowest, of "abs(...)" the largest magnitude.
        ratio: of the activation to it, where it is above 0.
        held_out_ratio: of the mean under the held-out views to it, where it is above 0.
        percentile: share of the images on which the functional is lower than on the picture, 0 to
            1.
        relative_rank: place of the unit among its layer's by activation over each unit's own
            maximum, from 1.
        dataset: name of the data set.
        images: number of its images.
        no_ratio: why there is no ratio, in a sentence; "" where there is one.
        look: the mean clipped share, high-frequency share and saturation of its images; None where
            the index does not know them.
    """

    maximum: float
    ratio: float | None
    held_out_ratio: float | None
    percentile: float
    relative_rank: int | None
    dataset: str
    images: int
    no_ratio: str = ""
    look: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Uncompared:
    """There is nothing to compare a picture with; `reason` says why in a sentence."""

    reason: str


@dataclass(frozen=True, eq=False)
class LayerMaxima:
    """What the units of one layer reach on one data set, by its index.

    A channel's mean is compared with means, a neuron with the unit's maximum anywhere; minus a unit
    and its magnitude likewise.
    """

    index: IndexStore
    subject: Subject
    layer: str
    extremes: Extremes

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
            extremes = index.extremes(indexed[0], layer) if indexed else None
            return None if extremes is None else LayerMaxima(index, indexed[0], layer, extremes)
        extremes = index.extremes(subject, layer)
        if extremes is None:
            raise index.missing(subject, layer)
        return LayerMaxima(index, subject, layer, extremes)

    def of_layer(self, path: LayerPath) -> NDArray[np.float32]:
        """Return what each unit of the layer reaches at most.

        Args:
            path: a unit or neuron, whose functional counts.

        Returns:
            (K,).
        """
        return self.extremes.of(_order(path))

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
                _order(path),
            )
            look = self.index.look(self.subject, self.layer)
        except (IndexMissing, DataLost):
            return None
        return DatasetComparison(
            maximum=maximum,
            ratio=picture.activation / maximum if maximum > 0 else None,
            held_out_ratio=picture.held_out / maximum if maximum > 0 else None,
            percentile=percentile,
            relative_rank=relative_rank(picture.layer_activations, self.of_layer(path), path.unit),
            dataset=self.subject.dataset,
            images=self.extremes.images,
            no_ratio="" if maximum > 0 else self._no_ratio(path, maximum),
            look=look,
        )

    def _no_ratio(self, path: LayerPath, maximum: float) -> str:
        """Why nothing can be divided by the largest value on the data set."""
        dataset = self.subject.dataset
        if path.form == "abs":
            return f"{path.plain} is 0 on every image of {dataset!r}, so that there is no ratio"
        side = "below" if path.form == "neg" else "above"
        extreme = f"{0 - maximum if path.form == 'neg' else maximum:.4g}"
        text = (
            f"{path.plain} is {side} 0 on no image of {dataset!r} (its "
            f"{'lowest' if path.form == 'neg' else 'highest'} value is {extreme}), so that there "
            f"is no ratio to that"
        )
        if path.form == "neg" and maximum == 0:
            text += "; a rectified unit has nothing below 0: name the layer before the rectifier"
        return text


def _order(path: LayerPath) -> RankedBy:
    """The order in which the images come that a unit or neuron, as it is meant, is largest on."""
    return order_of(path.form, "mean" if path.position is None else "max")


@dataclass(frozen=True, eq=False)
class DatasetMaxima:
    """What units reach on data sets, by layer; layers without an index are absent.

    Attributes:
        by_layer: the maxima of each layer that has an index.
        outdated: of layers whose only indexes are of another version's format, what is to be done.
    """

    by_layer: Mapping[str, LayerMaxima]
    outdated: Mapping[str, str] = field(default_factory=dict)

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
        outdated = {
            layer: index.outdated(model, digest, layer) for layer, one in found.items() if not one
        }
        return DatasetMaxima(
            {layer: one for layer, one in found.items() if one is not None},
            {layer: reason for layer, reason in outdated.items() if reason},
        )

    def maximum(self, path: LayerPath | None) -> float:
        """Return what a unit reaches at most.

        Args:
            path: a unit or neuron; None for no one unit.

        Returns:
            The maximum; NaN where that is unknown.
        """
        layer = None if path is None else self.by_layer.get(path.layer)
        return math.nan if layer is None or path is None else layer.maximum(path)

    def compare(
        self, path: LayerPath | None, picture: Picture
    ) -> DatasetComparison | Uncompared | None:
        """Compare a picture with the data set of its unit's layer. Reads files.

        Args:
            path: the unit or neuron that it shows; None for no one unit.
            picture: finished.

        Returns:
            The comparison, see `LayerMaxima.compare`, or why there is none; None where there is no
            unit or no index.
        """
        if path is None:
            return None
        if path.layer in self.outdated:
            return Uncompared(self.outdated[path.layer])
        layer = self.by_layer.get(path.layer)
        return None if layer is None else layer.compare(path, picture)


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
