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
from interp.network.describe import LayerInfo, ReceptiveField
from interp.probe import Probe, Procedure

_ROWS = 32  # images of a probe, about
# of the largest response: a curve that rises less is flat, and a vector mean that is shorter has no
# direction
_FLAT = 1e-5


@dataclass(frozen=True)
class UnitTuning:
    """The orientation (degrees) and wavelength (pixels) that a unit prefers, its selectivity (0 to
    1), highest response and baseline.
    """

    orientation: float
    wavelength: float
    selectivity: float
    response: float
    baseline: float


@dataclass(frozen=True, eq=False)
class Tuning:
    """responses (units, wavelengths, orientations), and baseline (units,) on mid-gray; orientations
    in degrees, wavelengths in pixels.
    """

    orientations: NDArray[np.float64]
    wavelengths: NDArray[np.float64]
    responses: NDArray[np.float32]
    baseline: NDArray[np.float32]

    def above(self, unit: int) -> NDArray[np.float64]:
        """The curves (wavelengths, orientations) of a unit as far as they are above its baseline,
        else 0.
        """
        curves: NDArray[np.float64] = (
            self.responses[unit].astype(np.float64) - self.baseline[unit]
        ).clip(0)
        curves[curves <= _FLAT * np.abs(self.responses[unit]).max()] = 0.0  # what rounding leaves
        return curves

    def of(self, unit: int) -> UnitTuning:
        """What a unit prefers.

        The wavelength is that of the highest response; the orientation is the direction of the
        vector mean, in doubled angles, of the curve at that wavelength above the baseline, and the
        selectivity its length: 1 - circular variance (Ringach et al. 2002, equation 1). Both are 0
        for a curve that is nowhere above the baseline, or flat.
        """
        curves = self.responses[unit]
        preferred = int(curves.max(1).argmax())
        told = float(self.wavelengths[preferred]), float(curves.max()), float(self.baseline[unit])
        curve = self.above(unit)[preferred]
        mean = complex(
            (curve * np.exp(2j * np.radians(self.orientations))).sum() / (curve.sum() or 1.0)
        )
        if abs(mean) <= _FLAT:
            return UnitTuning(0.0, told[0], 0.0, *told[1:])
        return UnitTuning(
            math.degrees(math.atan2(mean.imag, mean.real)) / 2 % 180,
            told[0],
            min(abs(mean), 1.0),
            *told[1:],
        )


def measure(shape: tuple[int, int, int], layer: LayerInfo, gratings: Gratings) -> Procedure[Tuning]:
    """Show gratings to a layer (units, rows, columns) and note the responses, by forward passes
    alone.

    A response is a unit's highest activation over the phases, at each position that sees no
    padding, and the mean of these over the positions; where every position sees some, it is that of
    the one in the middle. Every position sees a phase of its own, so the mean evens out how far the
    phases lie apart. The baseline is the same of an image of mid-gray.

    Args:
        shape: (C, H, W) of the network's input.
    """
    rows, columns = unpadded(layer, shape)

    def shown(images: Tensor, phases: int) -> Procedure[NDArray[np.float32]]:
        answer = yield Probe(images, gradient=False, layers=(layer.name,))
        maps = answer.activations[layer.name][:, :, rows, columns]
        highest = functools.reduce(
            torch.maximum, [maps[phase::phases] for phase in range(phases)]
        )  # ten times as fast as amax here
        return np.asarray(highest.float().mean((2, 3)).cpu().numpy())

    baseline = yield from shown(torch.full((1, *shape), 0.5), 1)
    found = []  # each (conditions, units)
    for images in batches(shape, gratings):
        found.append((yield from shown(images, gratings.phases)))
    responses = np.concatenate(found).T.reshape(
        -1, len(gratings.wavelengths), gratings.orientations
    )
    return Tuning(
        gratings.angles,
        np.array(gratings.wavelengths),
        np.ascontiguousarray(responses),
        baseline[0],
    )


def batch_rows(gratings: Gratings) -> int:
    """Images of the largest probe of `measure`."""
    return max(1, _ROWS // gratings.phases) * gratings.phases


def batches(shape: tuple[int, int, int], gratings: Gratings) -> Iterator[Tensor]:
    """All gratings (B, C, H, W), a few conditions with all their phases at a time."""
    conditions, step = gratings.conditions, batch_rows(gratings) // gratings.phases
    for first in range(0, len(conditions), step):
        yield gratings.images(shape, conditions[first : first + step])


def unpadded(layer: LayerInfo, shape: tuple[int, int, int]) -> tuple[slice, slice]:
    """The rows and columns of a layer's map whose receptive fields lie inside the image; the middle
    one where there are none.
    """
    field = layer.receptive_field or ReceptiveField(*shape[1:], 0, 0, 0, 0, is_global=True)
    return (
        _inside(
            layer.output_shape[1],
            field.offset_y,
            field.jump_y,
            field.height,
            shape[1],
            field.is_global,
        ),
        _inside(
            layer.output_shape[2],
            field.offset_x,
            field.jump_x,
            field.width,
            shape[2],
            field.is_global,
        ),
    )


def _inside(
    positions: int, offset: int, jump: int, size: int, extent: int, is_global: bool
) -> slice:
    inside = (
        []
        if is_global
        else [
            i
            for i in range(positions)
            if offset + i * jump >= 0 and offset + i * jump + size <= extent
        ]
    )
    return slice(inside[0], inside[-1] + 1) if inside else slice(positions // 2, positions // 2 + 1)
