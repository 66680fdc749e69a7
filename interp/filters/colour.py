"""The colours of a filter: how much of it is colour, whether two colours oppose each other in it,
and which.

A filter's value at a pixel is a vector (red, green, blue). Its mean is lightness, along the gray
axis; what is left lies in the plane of colour, in which red, green and blue are 120 degrees apart.
Share, opponency and hue are measures of our own, in terms of that plane.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

COLOURED = 0.5  # share of colour from which a filter counts as coloured
# relative difference of the two ends of an axis below which neither is the stronger one
_TIE = 1e-6

# Red and the direction 90 degrees before it, of unit length in the plane of colour.
_PLANE = np.array([[2.0, -1.0, -1.0], [0.0, math.sqrt(3), -math.sqrt(3)]]) / math.sqrt(6)


@dataclass(frozen=True)
class FilterColour:
    """The colours of one filter; all attributes are 0 for a filter without colour.

    Attributes:
        share: of the filter's energy that lies outside the gray axis, 0 to 1.
        opponency: 1 where the colours at both ends of the strongest axis are exactly opposite and
            equally strong, 0 where there is one colour only.
        hue: of that axis' stronger end in degrees, 0 to below 360: 0 red, 120 green, 240 blue; of
            two equal ends the one below 180.
    """

    share: float = 0.0
    opponency: float = 0.0
    hue: float = 0.0

    @property
    def is_coloured(self) -> bool:
        """Whether the filter is more colour than lightness."""
        return self.share >= COLOURED


def filter_colour(weights: Array) -> FilterColour:
    """Measure the colours of a filter.

    The strongest axis is the first principal one of the pixels' colours, through the origin. It has
    an end on either side, each the sum of the colours there, weighted by how far along the axis
    they lie. With ends e and f, the opponency is -2 e.f / (|e|^2 + |f|^2), at least 0.

    Args:
        weights: (C, h, w); a filter of other than 3 channels has no colour.
    """
    energy = float((weights**2).sum())
    if len(weights) != 3 or energy == 0:
        return FilterColour()
    colours = _PLANE @ weights.reshape(3, -1)  # (2, pixels)
    share = float((colours**2).sum()) / energy
    if share < 1e-9:
        return FilterColour()
    axis = np.linalg.svd(colours, full_matrices=False)[0][:, 0]
    along = axis @ colours
    one, other = colours @ along.clip(0), colours @ (-along).clip(0)
    lengths = float(one @ one), float(other @ other)
    opponency = min(max(0.0, -2 * float(one @ other) / sum(lengths)), 1.0)
    return FilterColour(min(share, 1.0), opponency, _hue(one, other, lengths))


def _hue(one: Array, other: Array, lengths: tuple[float, float]) -> float:
    hues = [round(math.degrees(math.atan2(end[1], end[0])), 6) % 360 for end in (one, other)]
    if abs(lengths[0] - lengths[1]) <= _TIE * sum(lengths):
        return min(hues)
    return hues[0] if lengths[0] > lengths[1] else hues[1]
