"""What the filters of a first layer look like in numbers: their Gabor functions, colours and
spectra, and orders by these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.filters.colour import FilterColour, filter_colour
from interp.filters.gabor import GOOD_FIT, Gabor
from interp.filters.gabor_fit import fit_gabors
from interp.filters.spectra import spectral_peak

Array = NDArray[np.float64]
FilterOrder = Literal["channel", "orientation", "hue"]


@dataclass(frozen=True)
class FilterAnalysis:
    """What one filter looks like.

    Lengths are in pixels of the layer's input, which is the image for a first layer.

    Attributes:
        gabor: the Gabor function of its strongest spatial component.
        colour: its colours.
        peak_orientation, peak_wavelength: where the amplitude spectrum of that component is
            highest, in degrees and pixels; both 0 for frequency zero.
    """

    gabor: Gabor
    colour: FilterColour
    peak_orientation: float
    peak_wavelength: float

    @property
    def fits(self) -> bool:
        """Whether a Gabor function describes the filter."""
        return self.gabor.r_squared >= GOOD_FIT


def analyze_filters(weights: Tensor, spacing: int = 1) -> list[FilterAnalysis]:
    """Analyze the filters of a convolution, in about 20 ms each.

    Args:
        weights: (O, 1 or 3, h, w).
        spacing: pixels from one weight to the next, the convolution's dilation; lengths are in
            pixels.

    Raises:
        ValueError: there are other than 1 or 3 input channels, or a weight is not finite.
    """
    if weights.ndim != 4 or weights.shape[1] not in (1, 3):
        raise ValueError(
            f"only filters of 1 or 3 input channels can be analyzed, not {tuple(weights.shape)}"
        )
    exact = weights.double().cpu().numpy()
    if not np.isfinite(exact).all():
        raise ValueError("a weight is not a finite number")
    patterns = [strongest_component(each)[1] for each in exact]
    return [
        _analysis(*each, spacing)
        for each in zip(exact, patterns, fit_gabors(patterns), strict=True)
    ]


def _analysis(weights: Array, pattern: Array, gabor: Gabor, spacing: int) -> FilterAnalysis:
    orientation, wavelength = spectral_peak(pattern)
    return FilterAnalysis(
        gabor.scaled(spacing), filter_colour(weights), orientation, wavelength * spacing
    )


def strongest_component(weights: Array) -> tuple[Array, Array]:
    """Split a filter into colour times pattern, the best in the sense of least squares.

    Args:
        weights: (C, h, w).

    Returns:
        the colour (C,) of length 1 and the pattern (h, w). The sign is such that the colour is
        rather light than dark, or for pure colour contrast its largest part is positive.
    """
    channels, rows, columns = weights.shape
    colours, strengths, patterns = np.linalg.svd(weights.reshape(channels, -1), full_matrices=False)
    colour, light = colours[:, 0], colours[:, 0].sum()
    largest = colour[np.abs(colour).argmax()]
    sign = math.copysign(1.0, light if abs(light) > 0.1 else largest)
    return sign * colour, sign * strengths[0] * patterns[0].reshape(rows, columns)


def sort_filters(analyses: Sequence[FilterAnalysis], order: FilterOrder) -> list[int]:
    """Sort filters.

    Args:
        analyses: one a filter.
        order: "channel": as they are. "orientation": those that a Gabor function of a determined
            orientation fits by that, then the others, the best fit first. "hue": those that are
            more colour than lightness by hue, then the others by orientation.

    Returns:
        the filters' numbers; ties keep the order of the channels.
    """

    def by_orientation(number: int) -> tuple[int, float]:
        one = analyses[number]
        is_oriented = one.fits and one.gabor.is_oriented
        return (0, one.gabor.orientation) if is_oriented else (1, -one.gabor.r_squared)

    def by_hue(number: int) -> tuple[int, float]:
        one = analyses[number]
        group, place = by_orientation(number)
        return (0, one.colour.hue) if one.colour.is_coloured else (1 + group, place)

    numbers = list(range(len(analyses)))
    if order == "channel":
        return numbers
    return sorted(numbers, key=by_hue if order == "hue" else by_orientation)
