"""What the finished index of a layer answers: a query maps its file into memory and reads the rows
of one unit.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from interp.exemplars import RankedBy, percentile
from service.index.files import tensors
from service.index.layer import FIGURES
from service.index.types import ExemplarHits, Extremes, Hit, Order, Subject, UnitStatistics


class InvalidQuery(Exception):
    """The index has no such unit, order or label."""


@dataclass(frozen=True, eq=False)
class LayerIndex:
    """The index of a layer: its description, and what finds its tensor file on this machine.
    Methods raise what UNREADABLE lists, too.
    """

    about: dict[str, Any]
    locate: Callable[[], Path]

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject(**{f.name: self.about[f.name] for f in fields(Subject)})

    @property
    def layer(self) -> str:
        """The layer's name."""
        return str(self.about["layer"])

    @property
    def images(self) -> int:
        """How many images it was built from."""
        return int(self.about["images"] - self.left_out["count"])

    @property
    def built_by(self) -> str:
        """The name of who built it; "" where the server asked for no keys then."""
        return str(self.about.get("built_by", ""))

    @property
    def left_out(self) -> dict[str, Any]:
        """Which images were left out, as `service.datasets.samples.summary` says it."""
        found: dict[str, Any] = self.about.get("left_out", {"count": 0, "images": []})
        return found

    @property
    def look(self) -> tuple[float, float, float] | None:
        """The mean clipped share, high-frequency share and saturation of its images; None where an
        older version built it.
        """
        found = self.about.get("look")
        return None if found is None else (found[0], found[1], found[2])

    def find(self, unit: int, k: int, order: Order, label: int | None) -> ExemplarHits:
        """Find the first k images by an order.

        Args:
            unit: its number in the layer.
            k: number of images at most.
            order: that they are found by.
            label: that they have; None for any.

        Returns:
            The images, and the number of images indexed.

        Raises:
            InvalidQuery: the layer has no such unit, or the index no such order or label.
        """
        self._check(unit)
        group = order if label is None else self._label(order, label)
        place = (
            (slice(unit, unit + 1),)
            if label is None
            else (slice(unit, unit + 1), slice(label, label + 1))
        )
        with tensors(self.locate()) as (_, file):
            columns = (
                file.get_slice(f"{group}.{part}")[place].flatten()[:k].tolist()
                for part in ("ids", "values", "positions")
            )
            rows = list(zip(*columns, strict=True))
        shape, shares = self.about["shape"], self.about["quantiles"]
        width = shape[-1] if len(shape) > 1 else 1
        hits = [
            Hit(
                image,
                value,
                position // width,
                position % width,
                shares[i] if order == "quantile" else None,
            )
            for i, (image, value, position) in enumerate(rows)
            if image >= 0
        ]
        return ExemplarHits(hits, self.images, self.left_out["count"])

    def statistics(self, unit: int | None) -> list[UnitStatistics]:
        """Read the statistics of one unit, or of all.

        Args:
            unit: its number in the layer; None for all units.

        Returns:
            The statistics of the unit, or of all units in order.

        Raises:
            InvalidQuery: the layer has no such unit.
        """
        if unit is not None:
            self._check(unit)
        units = slice(None) if unit is None else slice(unit, unit + 1)
        with tensors(self.locate()) as (_, file):
            figures = {name: file.get_slice(name)[units].tolist() for name in FIGURES}
            histogram = (
                file.get_slice("histogram")[units].numpy().copy()
            )  # what is answered does not keep the file mapped
            values = file.get_slice("quantile.values")[units].numpy().copy()
        shares = np.array(self.about["quantiles"], np.float64)
        return [
            UnitStatistics(
                (unit or 0) + i,
                histogram=histogram[i],
                quantiles=shares,
                quantile_values=values[i],
                **{name: column[i] for name, column in figures.items()},
            )
            for i in range(len(histogram))
        ]

    def extremes(self) -> Extremes:
        """Of all units."""
        names = ("maximum", "minimum", "maximum_mean", "minimum_mean")
        with tensors(self.locate()) as (_, file):
            found = {name: file.get_tensor(name).float().numpy() for name in names}
        return Extremes(**found, images=self.images)

    def percentile(self, unit: int, value: float, of: RankedBy) -> float:
        """Find the share of images below a value.

        Args:
            unit: its number in the layer.
            value: an activation, minus it or its magnitude, as the order has it.
            of: what of each image is compared, which is what that order ranks by.

        Returns:
            The share, from 0 to 1.

        Raises:
            InvalidQuery: the layer has no such unit.
        """
        self._check(unit)
        with tensors(self.locate()) as (_, file):
            grid = file.get_slice(f"grid.{of}")[unit : unit + 1][0].numpy()
        return percentile(grid, self.images, value)

    def _check(self, unit: int) -> None:
        units = self.about["shape"][0]
        if not 0 <= unit < units:
            raise InvalidQuery(f"layer {self.layer!r} has units 0 to {units - 1}, not {unit}")

    def _label(self, order: Order, label: int) -> str:
        if order != "max":
            raise InvalidQuery("exemplars of one label are known by their maximum alone")
        if not self.about["labels"]:
            raise InvalidQuery("the data set has no labels")
        if not 0 <= label < self.about["labels"]:
            raise InvalidQuery(
                f"the data set has labels 0 to {self.about['labels'] - 1}, not {label}"
            )
        if not self.about["class_k"]:
            raise InvalidQuery("the index keeps no exemplars by label")
        return "label"
