"""The geometry of the histogram of a unit's maxima: where its bars and marks lie, and nothing of
how they look.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.report.curve_chart import Frame

_MARGIN = 40.0  # of "-1.23e-05" in the letters of narrow screens, half
_NEAR = 26.0  # marks whose words would touch


@dataclass(frozen=True)
class Bin:
    """One bin as a bar; positions in the chart's units."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Mark:
    """A value that is pointed out: where it lies, its words, and on which line of words."""

    x: float
    words: str
    line: int


@dataclass(frozen=True)
class Histogram:
    """Images by their largest activation, the counts drawn as square roots so that the few strong
    ones show.
    """

    frame: Frame
    bars: Sequence[Bin]
    marks: Sequence[Mark]
    ticks: Sequence[tuple[float, str]]


def histogram(
    low: float, high: float, counts: Sequence[int], marks: Sequence[tuple[float, str]]
) -> Histogram:
    """Lay out the chart from `low` or the smallest mark, whichever is less, to `high` or the
    largest mark, whichever is more.

    Args:
        low: lower end of the first bin.
        high: upper end of the last bin.
        counts: images in each bin, all bins equally wide.
        marks: (value, words) of what is pointed out.

    Returns:
        Where the bars, marks and ticks lie.
    """
    first = min([low, *(value for value, _ in marks)])
    last = max([high, *(value for value, _ in marks)])
    extent = last - first or 1.0
    # the words of the outer ticks reach half their width beyond the axis
    frame = Frame(height=230, left=_MARGIN, right=_MARGIN, top=44, bottom=30)

    def across(value: float) -> float:
        return frame.x((value - first) / extent)

    width, most = (high - low) / max(1, len(counts)), math.sqrt(max(counts, default=0) or 1)
    bars = []
    for place, count in enumerate(counts):
        left, right = across(low + place * width), across(low + (place + 1) * width)
        top = frame.y(math.sqrt(count) / most)
        title = (
            f"{count:,} images from {low + place * width:.4g} to {low + (place + 1) * width:.4g}"
        )
        bars.append(Bin(left, top, max(right - left - 0.6, 0.8), frame.y(0) - top, title))
    return Histogram(
        frame,
        bars,
        _placed([(across(value), words) for value, words in sorted(marks)]),
        _ticks(first, last, across),
    )


def _placed(marks: Sequence[tuple[float, str]]) -> list[Mark]:
    placed: list[Mark] = []
    for x, words in marks:
        crowded = (
            placed
            and x - placed[-1].x < _NEAR + 5.5 * len(placed[-1].words) / 2 + 5.5 * len(words) / 2
        )
        placed.append(Mark(x, words, 1 - placed[-1].line if crowded else 0))
    return placed


def _ticks(first: float, last: float, across: Callable[[float], float]) -> list[tuple[float, str]]:
    return [
        (across(first + (last - first) * share), f"{first + (last - first) * share:.3g}")
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
