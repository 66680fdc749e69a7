"""Tuning curves: how the units of a layer answer to gratings (Hubel & Wiesel 1962; De Valois et al.
1982).
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.filters.gratings import Gratings
from interp.network.describe import LayerInfo
from interp.probe import Probe, Procedure

_PROBE_ROWS = 32  # images of a probe, about
# of the largest response: a curve that rises less is flat, and a vector mean that is shorter has no
# direction
_FLAT = 1e-5


@dataclass(frozen=True)
class UnitTuning:
    """What a unit prefers.

    Attributes:
        orientation: of the bars, in degrees, 0 to below 180.
        wavelength: in pixels.
        selectivity: 1 - circular variance, 0 to 1.
        response: the highest.
        baseline: the response to mid-gray.
    """

    orientation: float
    wavelength: float
    selectivity: float
    response: float
    baseline: float


@dataclass(frozen=True, eq=False)
class Tuning:
    """The tuning curves of a layer's units.

    Attributes:
        orientations: of the bars, in degrees.
        wavelengths: in pixels.
        responses: (units, wavelengths, orientations), activations.
        baseline: (units,), the responses to mid-gray.
    """

    orientations: NDArray[np.float64]
    wavelengths: NDArray[np.float64]
    responses: NDArray[np.float32]
    baseline: NDArray[np.float32]

    def above_baseline(self, unit: int) -> NDArray[np.float64]:
        """Return a unit's curves as far as they are above its baseline, else 0.

        Args:
            unit: its number, from 0.

        Returns:
            (wavelengths, orientations).
        """
        curves: NDArray[np.float64] = (
            self.responses[unit].astype(np.float64) - self.baseline[unit]
        ).clip(0)
        curves[curves <= _FLAT * np.abs(self.responses[unit]).max()] = 0.0  # what rounding leaves
        return curves

    def preference(self, unit: int) -> UnitTuning:
        """Find what a unit prefers.

        The wavelength is that of the highest response; the orientation is the direction of the
        vector mean, in doubled angles, of the curve at that wavelength above the baseline, and the
        selectivity its length: 1 - circular variance (Ringach et al. 2002, equation 1). Both are 0
        for a curve that is nowhere above the baseline, or flat.

        Args:
            unit: its number in the layer.

        Returns:
            The preference, orientations in degrees from 0 to below 180.
        """
        curves = self.responses[unit]
        preferred = int(curves.max(1).argmax())
        wavelength = float(self.wavelengths[preferred])
        response, baseline = float(curves.max()), float(self.baseline[unit])
        curve = self.above_baseline(unit)[preferred]
        mean = complex(
            (curve * np.exp(2j * np.radians(self.orientations))).sum() / (curve.sum() or 1.0)
        )
        if abs(mean) <= _FLAT:
            return UnitTuning(0.0, wavelength, 0.0, response, baseline)
        orientation = math.degrees(math.atan2(mean.imag, mean.real)) / 2 % 180
        return UnitTuning(orientation, wavelength, min(abs(mean), 1.0), response, baseline)


def measure_responses(
    shape: tuple[int, int, int], layer: LayerInfo, gratings: Gratings
) -> Procedure[Tuning]:
    """Show gratings to a layer and note the responses, by forward passes alone.

    A response is a unit's highest activation over the phases, at each position that sees no
    padding, and the mean of these over the positions; where every position sees some, it is that of
    the one in the middle. Every position sees a phase of its own, so the mean evens out how far the
    phases lie apart. The baseline is the same of an image of mid-gray.

    Args:
        shape: (C, H, W) of the network's input.
        layer: whose output is (units, rows, columns).
        gratings: what to show.
    """
    rows, columns = unpadded_positions(layer, shape)

    def responses_to(images: Tensor, phases: int) -> Procedure[NDArray[np.float32]]:
        answer = yield Probe(images, gradient=False, layers=(layer.name,))
        maps = answer.activations[layer.name][:, :, rows, columns]
        # ten times as fast as amax here
        highest = functools.reduce(torch.maximum, [maps[phase::phases] for phase in range(phases)])
        return np.asarray(highest.float().mean((2, 3)).cpu().numpy())

    baseline = yield from responses_to(torch.full((1, *shape), 0.5), 1)
    parts = []  # each (conditions, units)
    for images in grating_batches(shape, gratings):
        parts.append((yield from responses_to(images, gratings.phases)))
    responses = np.concatenate(parts).T.reshape(
        -1, len(gratings.wavelengths), gratings.orientations
    )
    return Tuning(
        gratings.angles,
        np.array(gratings.wavelengths),
        np.ascontiguousarray(responses),
        baseline[0],
    )


def grating_batch_size(gratings: Gratings) -> int:
    """Find the number of images of the largest probe of `measure_responses`.

    Args:
        gratings: that are shown.

    Returns:
        The number, a multiple of the number of phases.
    """
    return max(1, _PROBE_ROWS // gratings.phases) * gratings.phases


def grating_batches(shape: tuple[int, int, int], gratings: Gratings) -> Iterator[Tensor]:
    """Yield all gratings, a few conditions with all their phases at a time.

    Args:
        shape: (C, H, W).
        gratings: what to draw.

    Returns:
        batches (B, C, H, W) in [0, 1], B at most `grating_batch_size`.
    """
    conditions, step = gratings.conditions, grating_batch_size(gratings) // gratings.phases
    for first in range(0, len(conditions), step):
        yield gratings.images(shape, conditions[first : first + step])


def unpadded_positions(layer: LayerInfo, shape: tuple[int, int, int]) -> tuple[slice, slice]:
    """Find the positions of a layer's map whose receptive fields lie inside the image.

    Args:
        layer: whose output is (units, rows, columns).
        shape: (C, H, W) of the network's input.

    Returns:
        their rows and columns; the middle one where there are none.
    """
    field = layer.receptive_field
    _, height, width = layer.output_shape
    if field is None or field.is_global:
        return _middle(height), _middle(width)
    return (
        _inside(height, field.offset_y, field.jump_y, field.height, shape[1]),
        _inside(width, field.offset_x, field.jump_x, field.width, shape[2]),
    )


def _inside(positions: int, offset: int, jump: int, size: int, extent: int) -> slice:
    """The positions along one side whose fields lie inside the image; the middle one if none do."""
    inside = [
        i for i in range(positions) if offset + i * jump >= 0 and offset + i * jump + size <= extent
    ]
    return slice(inside[0], inside[-1] + 1) if inside else _middle(positions)


def _middle(positions: int) -> slice:
    return slice(positions // 2, positions // 2 + 1)
