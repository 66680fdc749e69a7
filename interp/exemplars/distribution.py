"""How each unit's values on all images are distributed: exact order statistics, from all of
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = 257  # order statistics of a grid: every 256th part of the images
BINS = 64  # of a histogram


@dataclass(frozen=True, eq=False)
class Distribution:
    """Of U units over N images, which are ranked by (value, id).

    Attributes:
        values: (U, N) float32, none NaN, in order of image id.
        ranked: (U, N) float32, sorted.
    """

    values: NDArray[np.float32]
    ranked: NDArray[np.float32]

    @staticmethod
    def of(values: NDArray[np.float32]) -> "Distribution":
        """Of values (U, N), none NaN, whose columns are in order of image id."""
        return Distribution(values, np.sort(values, axis=1))

    def grid(self) -> NDArray[np.float32]:
        """(U, LEVELS) the values at the `ranks` of as many images."""
        return self.ranked[:, ranks(np.linspace(0, 1, LEVELS), self.ranked.shape[1])]

    def quantiles(self, shares: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The places (U, Q) of the images that have these shares of the others below them, and
        their values.
        """
        at = ranks(np.asarray(shares), self.ranked.shape[1])
        places = np.array(
            [
                [_place(*rows, rank) for rank in at]
                for rows in zip(self.values, self.ranked, strict=True)
            ]
        )
        return places, np.take_along_axis(self.values, places, 1)

    def histogram(self) -> NDArray[np.int64]:
        """(U, BINS) how many values lie in each of as many bins from the least to the largest, the
        last one closed.
        """
        return np.stack(
            [
                np.histogram(row.astype(np.float64), BINS, (row[0], row[-1]))[0]
                for row in self.ranked
            ]
        )


def _place(values: NDArray[np.float32], ranked: NDArray[np.float32], rank: int) -> int:
    """The place of the image with a rank: among equal values the first have the lower ranks."""
    value = ranked[rank]
    return int(np.flatnonzero(values == value)[rank - ranked.searchsorted(value)])


def ranks(shares: NDArray[np.float64], images: int) -> NDArray[np.int64]:
    """The places, from 0, among so many sorted images that have these shares of the others below
    them; the nearest, halves upwards.
    """
    return np.floor(shares * (images - 1) + 0.5).astype(np.int64)


def percentile(grid: NDArray[np.float32], images: int, value: float) -> float:
    """The share of images below `value`, from a grid (LEVELS,): exact for up to LEVELS images, else
    within 1/256.
    """
    at = ranks(np.linspace(0, 1, len(grid)), images)
    above = int(grid.searchsorted(np.float32(value), "left"))  # the first level that is not below
    if above == 0:
        return 0.0
    if above == len(grid):
        return 1.0
    low, high = float(grid[above - 1]), float(grid[above])
    between = (
        int(at[above] - at[above - 1]) - 1
    )  # images of which only this is known: they lie from low to high
    return float(at[above - 1] + 1 + between * (value - low) / (high - low)) / images
