"""What a unit does over a whole data set, in numbers."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from striate._formats import notebook
from striate.provenance import Provenance
from striate.v1 import exemplars_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WIDTH, _HEIGHT = 320, 80  # of a drawn histogram in pixels
_SHOWN = (
    "minimum",
    "maximum",
    "minimum_mean",
    "maximum_mean",
    "mean",
    "variance",
    "active_share",
    "active_images",
    "sparsity",
)


@dataclass(frozen=True)
class UnitStatistics:
    """What one unit does over the images of a data set. Moments are over all images and positions.

    Attributes:
        unit: The unit in full, "layer:unit" with the layer's dotted name.
        images: Number of images.
        minimum: Lowest activation.
        maximum: Highest activation.
        maximum_mean: Highest mean over positions of any image.
        minimum_mean: Lowest mean over positions of any image.
        mean: Mean activation.
        variance: Variance of the activations.
        active_share: Share of images and positions at which the unit is above 0.
        active_images: Share of images on which it is above 0 anywhere.
        sparsity: That of its maxima over images, 1 - (mean)^2 / mean square, negative maxima taken
            as 0: from 0 for equally active everywhere to 1 (Vinje & Gallant 2000).
        quantiles: For shares of the images the maximum that has that share of the other images'
            maxima below it.
        counts: Images in each bin of the histogram of the images' maxima.
        span: From the low edge of its first bin to the high edge of its last.
        provenance: Where the statistics came from.
    """

    unit: str
    images: int
    minimum: float
    maximum: float
    maximum_mean: float
    minimum_mean: float
    mean: float
    variance: float
    active_share: float
    active_images: float
    sparsity: float
    quantiles: dict[float, float]
    counts: tuple[int, ...] = field(repr=False)
    span: tuple[float, float] = field(repr=False)
    provenance: Provenance = field(repr=False)

    @staticmethod
    def read(
        message: exemplars_pb2.UnitStatistics, images: int, provenance: Provenance
    ) -> UnitStatistics:
        """Reads the message of the contract.

        Args:
            message: Statistics of one unit.
            images: Number of images that they are over.
            provenance: Where they came from.
        """
        return UnitStatistics(
            unit=message.unit,
            images=images,
            minimum=message.minimum,
            maximum=message.maximum,
            maximum_mean=message.maximum_mean,
            minimum_mean=message.minimum_mean,
            mean=message.mean,
            variance=message.variance,
            active_share=message.active_share,
            active_images=message.active_images,
            sparsity=message.sparsity,
            quantiles=dict(zip(message.quantiles, message.quantile_values, strict=False)),
            counts=tuple(message.histogram),
            span=(message.histogram_low, message.histogram_high),
            provenance=provenance,
        )

    @cached_property
    def histogram(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The histogram of the images' maxima, as numpy.histogram gives it: images a bin (bins,)
        and edges (bins + 1,), the last bin closed.
        """
        import numpy as np

        return np.array(self.counts, np.int64), np.linspace(*self.span, len(self.counts) + 1)

    def _repr_html_(self) -> str:
        rows = [(name.replace("_", " "), f"{getattr(self, name):.4g}") for name in _SHOWN]
        head = f"<p>{html.escape(self.unit)}, the maxima of {self.images} images</p>"
        return (
            head
            + histogram_svg(self.counts, self.span)
            + notebook.table(("statistic", "value"), rows)
        )


class LayerStatistics(list[UnitStatistics]):
    """The statistics of all units of a layer, in order.

    Attributes:
        images: Number of images that they are over.
        provenance: Where they came from.
    """

    def __init__(
        self, items: Iterable[UnitStatistics], images: int, provenance: Provenance
    ) -> None:
        super().__init__(items)
        self.images = images
        self.provenance = provenance

    @staticmethod
    def read(message: exemplars_pb2.GetUnitStatisticsResponse) -> LayerStatistics:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        provenance = Provenance.read(message.provenance)
        units = (UnitStatistics.read(unit, message.images, provenance) for unit in message.units)
        return LayerStatistics(units, message.images, provenance)

    def _repr_html_(self) -> str:
        cells = ((unit.unit, *(f"{getattr(unit, name):.4g}" for name in _SHOWN)) for unit in self)
        return notebook.table(("unit", *(name.replace("_", " ") for name in _SHOWN)), list(cells))


def histogram_svg(counts: tuple[int, ...], span: tuple[float, float]) -> str:
    """Draws a histogram.

    Args:
        counts: The counts of the bins, which are the heights of the bars.
        span: Both ends of the axis, which are written below.

    Returns:
        SVG, to stand within HTML.
    """
    step, top = _WIDTH / max(1, len(counts)), max(counts, default=0) or 1
    bars = "".join(
        f'<rect x="{index * step:.2f}" y="{_HEIGHT * (1 - count / top):.2f}" '
        f'width="{step:.2f}" height="{_HEIGHT * count / top:.2f}">'
        f"<title>{count}</title></rect>"
        for index, count in enumerate(counts)
        if count
    )
    ends = ((0, "start", span[0]), (_WIDTH, "end", span[1]))
    texts = "".join(
        f'<text x="{x}" y="{_HEIGHT + 14}" text-anchor="{anchor}">{value:.4g}</text>'
        for x, anchor, value in ends
    )
    size = f'width="{_WIDTH}" height="{_HEIGHT + 18}" viewBox="0 0 {_WIDTH} {_HEIGHT + 18}"'
    return f'<svg {size} fill="currentColor" font-size="12" role="img">{bars}{texts}</svg>'
