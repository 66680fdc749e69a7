"""Curves and bars as the numbers that an SVG is drawn of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from striate import ReceptiveField, UnitStatistics

WIDTH, HEIGHT = 400, 110  # of a plot, in its own units


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram.

    Attributes:
        number: From 0.
        low: Least value of its bin.
        high: Largest value of its bin.
        images: How many have a value in it.
        x: Left edge.
        width: Of the bar.
        height: Of the bar; not 0 unless it has no images.
    """

    number: int
    low: float
    high: float
    images: int
    x: float
    width: float
    height: float


def histogram(statistics: UnitStatistics) -> list[Bar]:
    """Lays out the histogram of a unit's maxima over images; heights go by the square root, so that
    the few images that excite it most are seen.

    Args:
        statistics: What the unit does over a data set.

    Returns:
        Its bars; none where all images have one value.
    """
    low, high = statistics.span
    counts = statistics.counts
    if not counts or not high > low:
        return []
    step, tallest, width = (
        (high - low) / len(counts),
        math.sqrt(max(counts) or 1),
        WIDTH / len(counts),
    )
    return [
        Bar(
            number,
            low + number * step,
            low + (number + 1) * step,
            images,
            round(number * width, 2),
            round(width - 1, 2),
            round(max(3.0, HEIGHT * math.sqrt(images) / tallest), 1) if images else 0.0,
        )
        for number, images in enumerate(counts)
    ]


def line(values: Sequence[float], low: float, high: float) -> str:
    """Lays out a curve of evenly spaced values.

    Args:
        values: At least one.
        low: Value at the bottom.
        high: Value at the top.

    Returns:
        The points of an SVG polyline.
    """
    span = (high - low) or 1.0
    step = WIDTH / max(1, len(values) - 1)
    return " ".join(
        f"{place * step:.1f},{HEIGHT - HEIGHT * (value - low) / span:.1f}"
        for place, value in enumerate(values)
    )


@dataclass(frozen=True)
class Field:
    """A receptive field to scale within the input: all in pixels."""

    rows: int
    columns: int
    x: float
    y: float
    width: int
    height: int


def field(size: tuple[int, int], receptive: ReceptiveField | None) -> Field:
    """Lays out a receptive field in the middle of the input.

    Args:
        size: (rows, columns) of the input.
        receptive: The field, None for the whole input.

    Returns:
        Where it is drawn; no larger than the input.
    """
    rows, columns = size
    whole = receptive is None or receptive.is_global
    height = rows if whole or receptive is None else min(rows, receptive.size[0])
    width = columns if whole or receptive is None else min(columns, receptive.size[1])
    return Field(rows, columns, (columns - width) / 2, (rows - height) / 2, width, height)
