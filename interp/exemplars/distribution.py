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
    """The values of U units on N images, which are ranked by (value, id).

    Attributes:
        values: (U, N) float32, none NaN, in order of image id.
        ranked: (U, N) float32, sorted.
    """

    values: NDArray[np.float32]
    ranked: NDArray[np.float32]

    @staticmethod
    def of(values: NDArray[np.float32]) -> "Distribution":
        """Sort values.

        Args:
            values: (U, N), none NaN, whose columns are in order of image id.
        """
        return Distribution(values, np.sort(values, axis=1))

    def grid(self) -> NDArray[np.float32]:
        """Return (U, LEVELS) order statistics, evenly from the least value to the largest."""
        return order_statistics(self.ranked)

    def quantiles(self, shares: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the images that have given shares of the others below them.

        Args:
            shares: Q numbers from 0 to 1.

        Returns:
            their columns (U, Q) in `values`, and their values (U, Q).
        """
        at = ranks(np.asarray(shares), self.ranked.shape[1])
        places = np.array(
            [
                [_column(*rows, rank) for rank in at]
                for rows in zip(self.values, self.ranked, strict=True)
            ]
        )
        return places, np.take_along_axis(self.values, places, 1)

    def histogram(self) -> NDArray[np.int64]:
        """Count the values in bins.

        Returns:
            (U, BINS) how many lie in each of as many equal bins from a unit's least value to its
            largest, the last one closed.
        """
        return np.stack(
            [
                np.histogram(row.astype(np.float64), BINS, (row[0], row[-1]))[0]
                for row in self.ranked
            ]
        )


def order_statistics(ranked: NDArray[np.float32]) -> NDArray[np.float32]:
    """Choose some of sorted values, evenly from the least to the largest.

    Args:
        ranked: (U, N), each row sorted.

    Returns:
        (U, LEVELS).
    """
    return ranked[:, ranks(np.linspace(0, 1, LEVELS), ranked.shape[1])]


def _column(values: NDArray[np.float32], ranked: NDArray[np.float32], rank: int) -> int:
    """The column of the image with a rank: among equal values the first have the lower ranks."""
    value = ranked[rank]
    return int(np.flatnonzero(values == value)[rank - ranked.searchsorted(value)])


def ranks(shares: NDArray[np.float64], images: int) -> NDArray[np.int64]:
    """Return the ranks that have given shares of the other images below them.

    Args:
        shares: any shape, from 0 to 1.
        images: how many there are.

    Returns:
        the nearest ranks, from 0, halves rounded upwards, in the shape of `shares`.
    """
    return np.floor(shares * (images - 1) + 0.5).astype(np.int64)


def percentile(grid: NDArray[np.float32], images: int, value: float) -> float:
    """Estimate the share of images whose value is below a given one.

    Args:
        grid: (LEVELS,) of one unit, see `Distribution.grid`.
        images: how many the grid was made from.
        value: any number.

    Returns:
        0 to 1; exact for up to LEVELS images, else within 1/256.
    """
    at = ranks(np.linspace(0, 1, len(grid)), images)
    above = int(grid.searchsorted(np.float32(value), "left"))  # the first level that is not below
    if above == 0:
        return 0.0
    if above == len(grid):
        return 1.0
    low, high = float(grid[above - 1]), float(grid[above])
    # images of which only this is known: they lie from low to high
    between = int(at[above] - at[above - 1]) - 1
    return float(at[above - 1] + 1 + between * (value - low) / (high - low)) / images
