"""Sinusoidal gratings, the stimulus by which visual neurons are measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def grating(
    shape: tuple[int, int, int],
    orientation: float,
    wavelength: float,
    phase: float = 0.0,
    contrast: float = 1.0,
) -> NDArray[np.float32]:
    """Draw a gray grating: 0.5 + 0.5 * contrast * cos(2 pi u / wavelength + phase), u across the
    bars from the middle.

    Args:
        shape: (C, H, W); all channels are equal.
        orientation: of the bars in degrees: 0 horizontal, 90 vertical, 45 rising to the right.
        wavelength: pixels a period.
        phase: degrees.
        contrast: Michelson's, (lightest - darkest) / (lightest + darkest), 0 to 1.

    Returns:
        (C, H, W) in [0, 1], read-only.
    """
    channels, height, width = shape
    theta = math.radians(orientation)
    y, x = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    wave = np.cos(
        2 * math.pi * (x * math.sin(theta) + y * math.cos(theta)) / wavelength + math.radians(phase)
    )
    return np.broadcast_to(
        (0.5 + 0.5 * contrast * wave).astype(np.float32), (channels, height, width)
    )


@dataclass(frozen=True)
class Gratings:
    """Gratings of all combinations of wavelength, orientation and phase.

    Attributes:
        wavelengths: in pixels.
        orientations: how many, evenly over 180 degrees from 0.
        phases: how many, evenly over 360 degrees from 0.
        contrast: Michelson's, 0 to 1.
    """

    wavelengths: tuple[float, ...]
    orientations: int = 18
    phases: int = 8
    contrast: float = 1.0

    @cached_property
    def angles(self) -> NDArray[np.float64]:
        """The orientations in degrees."""
        return np.linspace(0.0, 180.0, self.orientations, endpoint=False)

    @property
    def conditions(self) -> list[tuple[float, float]]:
        """(wavelength, orientation) of each, all orientations of a wavelength together."""
        return [
            (wavelength, float(angle)) for wavelength in self.wavelengths for angle in self.angles
        ]

    def images(
        self, shape: tuple[int, int, int], conditions: Sequence[tuple[float, float]]
    ) -> Tensor:
        """Draw the gratings of some conditions.

        Args:
            shape: (C, H, W).
            conditions: some of `conditions`.

        Returns:
            (conditions * phases, C, H, W) in [0, 1], all phases of a condition together.
        """
        phases = np.arange(self.phases) * (360 / self.phases)
        drawn = [
            grating(shape, angle, wavelength, phase, self.contrast)
            for wavelength, angle in conditions
            for phase in phases
        ]
        return torch.from_numpy(np.stack(drawn))


def default_wavelengths(shape: tuple[int, int, int], field: int) -> tuple[float, ...]:
    """Choose six wavelengths, evenly in their logarithm from 2.5 pixels to twice a receptive field.

    Args:
        shape: (C, H, W) of the images.
        field: side of the receptive field in pixels.

    Returns:
        pixels; the longest is at least 10, and at most the images' shorter side.
    """
    side = min(shape[1:])
    longest = min(max(2 * field, 10), side)
    return tuple(np.geomspace(min(2.5, longest), longest, 6).tolist())
