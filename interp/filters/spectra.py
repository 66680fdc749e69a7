"""Amplitude spectra of filters: where they are highest, and as a picture."""

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.filters.weights import Scale, arrange_tiles, tile_layout

_FREQUENCIES = 64  # an axis, at which a peak is looked for


def render_spectra(weights: Tensor, scale: Scale = "filter", zoom: int = 0) -> NDArray[np.uint8]:
    """Draw the amplitude spectra of filters as one picture, laid out as by `render_filters`.

    Frequency zero is in the middle of a tile and half a period a pixel at its rim. A tile of 3
    input channels shows the root of their mean square.

    Args:
        weights: (O, I, h, w).
        scale: black is zero, white the highest amplitude, of the filter or of all.
        zoom: pixels a weight, 1 to 32; 0 picks one that makes tiles of about 48 pixels.

    Returns:
        (height, width, 1) gray.

    Raises:
        ValueError: as `render_filters`.
    """
    rows, columns, zoom = tile_layout(weights, zoom)
    exact = weights.double().cpu().numpy()
    if not np.isfinite(exact).all():
        raise ValueError("a weight is not a finite number")
    highest = (
        max(float(_amplitudes(each, zoom).max()) for each in exact) if scale == "global" else None
    )
    # filter by filter: complex numbers take room
    tiles = np.concatenate([_tiles(_amplitudes(each, zoom), highest) for each in exact])
    return arrange_tiles(tiles[..., None], rows, columns)


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
    """Find where the amplitude spectrum of a pattern is highest.

    The spectrum is sampled at 64 frequencies an axis, the ones between the pattern's own by filling
    up with zeros.

    Args:
        pattern: (h, w).

    Returns:
        orientation of the bars in degrees, 0 to below 180, and wavelength in pixels; (0, 0) for
        frequency zero.
    """
    size = max(_FREQUENCIES, *pattern.shape)
    amplitude = np.abs(np.fft.rfft2(pattern, (size, size)))
    row, column = np.unravel_index(amplitude.argmax(), amplitude.shape)
    if not row and not column:
        return 0.0, 0.0
    fy, fx = np.fft.fftfreq(size)[row], np.fft.rfftfreq(size)[column]
    return math.degrees(math.atan2(fx, fy)) % 180, float(1 / math.hypot(fx, fy))
