"""Numbers of either sign as colours, and maps of them as a picture."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

_DARKEST, _LIGHTEST = 0.14, 0.93  # lightness at zero and at both ends
_CHROMA = 0.145  # at most; less where the screen has no such colour
_WARM, _COOL = (30.0, 95.0), (265.0, 215.0)  # degrees of hue near zero and at the end

# Ottosson 2020, "A perceptual color space for image processing": from Oklab to cone responses, and
# from those to linear RGB.
_TO_CONES = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def diverging_colours(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour numbers: zero is nearly black, above it warm, below it cool, ever lighter to the ends.

    Lightness rises evenly as the eye sees it, alike on both sides, so that equal differences look
    equal and a gray print still shows magnitudes.

    Args:
        shares: (...) in [-1, 1]; what lies outside is cut.

    Returns:
        (..., 3) RGB.
    """
    steps = np.rint(np.clip(shares, -1, 1) * 255).astype(np.int64)
    rgb: NDArray[np.uint8] = _colour_table()[steps + 255]
    return rgb


def heat_maps(
    maps: NDArray[np.floating], zoom: int, columns: int, together: bool = False
) -> NDArray[np.uint8]:
    """Draw maps as a grid, with one white pixel between them; zero is nearly black.

    Args:
        maps: (n, h, w).
        zoom: pixels a value, at least 1.
        columns: of the grid.
        together: the largest magnitude of all maps is an end of the scale; else that of each map.

    Returns:
        (height, width, 3) RGB.
    """
    count, height, width = maps.shape
    largest = [float(np.abs(each).max()) for each in maps]
    if together:
        largest = [max(largest)] * count
    rows = math.ceil(count / columns)
    picture = np.full(
        (rows * (height * zoom + 1) + 1, columns * (width * zoom + 1) + 1, 3), 255, np.uint8
    )
    for place, (each, top_value) in enumerate(zip(maps, largest, strict=True)):
        tile = diverging_colours(each / (top_value or 1.0))
        top, left = (
            place // columns * (height * zoom + 1) + 1,
            place % columns * (width * zoom + 1) + 1,
        )
        picture[top : top + height * zoom, left : left + width * zoom] = tile.repeat(
            zoom, 0
        ).repeat(zoom, 1)
    return picture


@functools.cache
def _colour_table() -> NDArray[np.uint8]:
    """(511, 3): the colours of -1 to 1."""
    return np.array([_colour(step / 255) for step in range(-255, 256)], np.uint8)


def _colour(share: float) -> list[int]:
    size = abs(share)
    first, last = _WARM if share > 0 else _COOL
    hue = math.radians(first + (last - first) * size)
    lightness = _DARKEST + (_LIGHTEST - _DARKEST) * size
    chroma = _CHROMA * math.sin(math.pi * size**0.8)
    while True:
        linear = (
            _TO_RGB
            @ (_TO_CONES @ np.array([lightness, chroma * math.cos(hue), chroma * math.sin(hue)]))
            ** 3
        )
        if ((linear >= -1e-4) & (linear <= 1 + 1e-4)).all():
            break
        chroma *= 0.99  # no screen has it: paler, until one has
    linear = linear.clip(0, 1)
    encoded = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )  # sRGB, IEC 61966-2-1
    return [round(255 * value) for value in encoded]
