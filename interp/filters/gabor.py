"""Gabor functions: the model of a simple cell's receptive field (Daugman 1985,
equation 1; Jones & Palmer 1987).

Orientations are those of the bars, in degrees: 0 for horizontal ones, 90 for vertical ones, rising
counter-clockwise.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GOOD_FIT = 0.5  # R^2 from which a filter counts as a Gabor function


@dataclass(frozen=True)
class Gabor:
    """amplitude * exp(-u^2 / (2 across^2) - v^2 / (2 along^2)) * cos(2 pi u / wavelength + phase),
    u across the bars, v along them.

    Attributes:
        orientation: of the bars in degrees, 0 to below 180.
        wavelength: pixels; 0 where nothing was fitted.
        phase: degrees at the centre, -180 to below 180; the cosine runs down the rows, or for
            vertical bars along them.
        across, along: standard deviations of the envelope in pixels.
        row, column: its centre, from the first pixel's.
        amplitude: above 0.
        r_squared: share of the pattern's variance that it explains, at most 1; 0 where nothing was
            fitted.
        is_oriented: whether the pattern determines the orientation: no function that is turned by
            more than 22.5 degrees explains as much of the variance, within a fiftieth. False where
            nothing was fitted.
    """

    orientation: float = 0.0
    wavelength: float = 0.0
    phase: float = 0.0
    across: float = 0.0
    along: float = 0.0
    row: float = 0.0
    column: float = 0.0
    amplitude: float = 0.0
    r_squared: float = 0.0
    is_oriented: bool = False

    def scaled(self, spacing: float) -> "Gabor":
        """Convert the function to where the pattern's pixels lie `spacing` pixels apart.

        Args:
            spacing: in pixels.

        Returns:
            The function, its lengths and its centre multiplied.
        """
        lengths = {
            name: spacing * getattr(self, name)
            for name in ("wavelength", "across", "along", "row", "column")
        }
        return replace(self, **lengths)

    def draw(self, rows: int, columns: int) -> Array:
        """Compute the function's values at the pixels of a pattern.

        Args:
            rows, columns: of the pattern.

        Returns:
            (rows, columns).
        """
        theta = math.radians(self.orientation)
        y, x = np.mgrid[:rows, :columns] - np.array([self.row, self.column])[:, None, None]
        u, v = x * math.sin(theta) + y * math.cos(theta), x * math.cos(theta) - y * math.sin(theta)
        envelope = np.exp(-(u**2) / (2 * self.across**2) - v**2 / (2 * self.along**2))
        return np.asarray(
            self.amplitude
            * envelope
            * np.cos(2 * math.pi * u / self.wavelength + math.radians(self.phase))
        )
