"""Attributions as pictures: what every pixel has to do with a score, in colour."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# of the magnitudes, where colour is full: a few extreme pixels must not make all others pale
PERCENTILE = 99.0

Floats = NDArray[np.floating[Any]]

# Evenly spaced from -1 to 1, and from 0 to 1; RGB of [0, 1].
_DIVERGING_COLOURS = np.array(
    [[0.02, 0.19, 0.52], [0.26, 0.54, 0.80], [1, 1, 1], [0.90, 0.38, 0.32], [0.55, 0.02, 0.12]]
)
_SEQUENTIAL_COLOURS = np.array(
    [[0, 0, 0.02], [0.28, 0.06, 0.43], [0.71, 0.21, 0.33], [0.96, 0.56, 0.11], [0.99, 0.98, 0.70]]
)


def heat_map(values: Floats, signed: bool) -> NDArray[np.float64]:
    """Colour the attributions of one image.

    Full colour is at the 99th percentile of the magnitudes, or where that is zero at their maximum.

    Args:
        values: (C, H, W), of the network's channels or of one.
        signed: draw the sum over channels, red above zero, blue below, white at zero. Otherwise the
            largest channel, dark to bright.

    Returns:
        (3, H, W) RGB in [0, 1].
    """
    shares = values.astype(np.float64)
    shares = shares.sum(0) if signed else shares.max(0)
    magnitudes = np.abs(shares)
    scale = np.percentile(magnitudes, PERCENTILE) or magnitudes.max() or 1.0
    palette = _DIVERGING_COLOURS if signed else _SEQUENTIAL_COLOURS
    stops = np.linspace(-1 if signed else 0, 1, len(palette))
    level = np.clip(shares / scale, stops[0], 1)
    return np.stack([np.interp(level, stops, palette[:, channel]) for channel in range(3)])


def overlay(image: Floats, heat: Floats, opacity: float) -> NDArray[np.float64]:
    """Lay a heat map over an image turned gray, so that all colour is the map's.

    Args:
        image: (1 or 3, H, W) in [0, 1].
        heat: (3, H, W) in [0, 1].
        opacity: of the map, 0 (the image itself, in its own colours) to 1 (the map alone).

    Returns:
        (3, H, W) RGB in [0, 1].
    """
    gray = (
        image[0]
        if len(image) == 1
        else np.tensordot([0.299, 0.587, 0.114], image.astype(np.float64), 1)
    )
    under = image.astype(np.float64) if opacity == 0 else np.broadcast_to(gray, heat.shape)
    mixed: NDArray[np.float64] = (1 - opacity) * np.broadcast_to(under, heat.shape) + opacity * heat
    return mixed
