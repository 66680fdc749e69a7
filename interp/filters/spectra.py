"""Amplitude spectra of filters: where they are highest, and as a picture."""

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.filters.weights import Scale, grid, layout

_FREQUENCIES = 64  # an axis, at which a peak is looked for


def render_spectra(weights: Tensor, scale: Scale = "filter", zoom: int = 0) -> NDArray[np.uint8]:
    """Draw the amplitude spectra of weights (O, I, h, w) as one gray picture (height, width, 1)
    uint8, laid out as by `render_filters`.

    Frequency zero is in the middle of a tile and half a period a pixel at its rim. Black is zero,
    white the highest amplitude, of the filter or of all as `scale` says. A tile of 3 input channels
    shows the root of their mean square.

    Raises:
        ValueError: as `render_filters`.
    """
    rows, columns, zoom = layout(weights, zoom)
    exact = weights.double().cpu().numpy()
    if not np.isfinite(exact).all():
        raise ValueError("a weight is not a finite number")
    highest = (
        max(float(_amplitudes(each, zoom).max()) for each in exact) if scale == "global" else None
    )
    tiles = np.concatenate(
        [_tiles(_amplitudes(each, zoom), highest) for each in exact]
    )  # filter by filter: complex numbers take room
    return grid(tiles[..., None], rows, columns)


def _amplitudes(weights: NDArray[np.float64], zoom: int) -> NDArray[np.float64]:
    """Spectra (1 or I, h * zoom, w * zoom) of a filter (I, h, w), its pixels filled up with zeros
    to as many as its tile has.
    """
    size = weights.shape[1] * zoom, weights.shape[2] * zoom
    amplitudes = np.abs(np.fft.fftshift(np.fft.fft2(weights, size), axes=(1, 2)))
    if len(amplitudes) == 3:
        amplitudes = np.sqrt((amplitudes**2).mean(0, keepdims=True))
    return np.asarray(amplitudes)


def _tiles(amplitudes: NDArray[np.float64], highest: float | None) -> NDArray[np.uint8]:
    top = float(amplitudes.max()) if highest is None else highest
    return np.asarray(np.rint(amplitudes * (255 / top if top > 0 else 0)), dtype=np.uint8)


def spectral_peak(pattern: NDArray[np.float64]) -> tuple[float, float]:
    """Orientation and wavelength at which the amplitude spectrum of a pattern (h, w) is highest;
    (0, 0) for frequency zero.

    The spectrum is sampled at 64 frequencies an axis, the ones between the pattern's own by filling
    up with zeros.
    """
    size = max(_FREQUENCIES, *pattern.shape)
    amplitude = np.abs(np.fft.rfft2(pattern, (size, size)))
    row, column = np.unravel_index(amplitude.argmax(), amplitude.shape)
    if not row and not column:
        return 0.0, 0.0
    fy, fx = np.fft.fftfreq(size)[row], np.fft.rfftfreq(size)[column]
    return math.degrees(math.atan2(fx, fy)) % 180, float(1 / math.hypot(fx, fy))
