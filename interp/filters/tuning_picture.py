"""Tuning curves as a picture."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from interp.filters.tuning import Tuning

MAX_UNITS = 64

_PANEL = 132  # pixels a side
_RADIUS = 50
_CAPTION = 16
_COLUMNS = 8
_FINE = 3  # drawn so many times larger, then shrunk: lines without steps
_FAINT, _BOLD, _AXIS, _TEXT = "#c3ccd6", "#1f5fa8", "#e7eaee", "#30363c"
_PREFERRED = "#d2691e"


def draw_tuning(tuning: Tuning, units: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """Draw polar tuning curves, one panel a unit.

    The angle is the orientation of the bars as it is seen, 0 to the right and 90 up, each half a
    turn the same. The radius is the response above that on mid-gray; the preferred wavelength is
    bold, the others are faint. A line marks the preferred orientation, as long as the unit is
    selective. Beneath: unit, preferred wavelength in pixels, selectivity.

    Args:
        tuning: of a layer.
        units: 1 to 64 numbers of units; None: the first 64.

    Returns:
        (height, width, 3) RGB.

    Raises:
        ValueError: there are no units, or more than 64.
    """
    chosen = list(range(min(len(tuning.responses), MAX_UNITS)) if units is None else units)
    if not 1 <= len(chosen) <= MAX_UNITS:
        raise ValueError(f"from 1 to {MAX_UNITS} units can be drawn, not {len(chosen)}")
    columns = min(_COLUMNS, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    width, height = columns * _PANEL, rows * (_PANEL + _CAPTION)
    sheet = Image.new("RGB", (width * _FINE, height * _FINE), "white")
    draw = ImageDraw.Draw(sheet)
    for place, unit in enumerate(chosen):
        left, top = place % columns * _PANEL, place // columns * (_PANEL + _CAPTION)
        _panel(draw, tuning, unit, (left + _PANEL / 2, top + _PANEL / 2))
    return np.asarray(sheet.resize((width, height), Image.Resampling.LANCZOS))


def _panel(
    draw: ImageDraw.ImageDraw, tuning: Tuning, unit: int, centre: tuple[float, float]
) -> None:
    preference, curves = tuning.preference(unit), tuning.above_baseline(unit)
    for share in (0.5, 1.0):
        around = [(c + sign * _RADIUS * share) * _FINE for sign in (-1, 1) for c in centre]
        draw.ellipse(around, outline=_AXIS, width=_FINE)
    shares = curves / (curves.max() or 1.0)
    preferred = int(tuning.responses[unit].max(1).argmax())
    for number in sorted(range(len(curves)), key=lambda n: n == preferred):  # that one on top
        style = (_BOLD, 2) if number == preferred else (_FAINT, 1)
        _curve(draw, tuning.orientations, shares[number], centre, *style)
    ends = [
        _point(centre, preference.orientation + turn, preference.selectivity) for turn in (0, 180)
    ]
    draw.line(ends, fill=_PREFERRED, width=2 * _FINE)
    caption = f"{unit}: {preference.wavelength:.3g} px, {preference.selectivity:.2f}"
    place = (centre[0] * _FINE, (centre[1] + _PANEL / 2) * _FINE)
    draw.text(place, caption, fill=_TEXT, anchor="mm", font=ImageFont.load_default(11 * _FINE))


def _curve(
    draw: ImageDraw.ImageDraw,
    degrees: NDArray[np.float64],
    radii: NDArray[np.float64],
    centre: tuple[float, float],
    colour: str,
    width: int,
) -> None:
    whole = np.concatenate([degrees, degrees + 180, degrees[:1]])
    points = [
        _point(centre, angle, radius)
        for angle, radius in zip(whole, np.resize(radii, len(whole)), strict=True)
    ]
    draw.line(points, fill=colour, width=width * _FINE, joint="curve")


def _point(centre: tuple[float, float], degrees: float, radius: float) -> tuple[float, float]:
    x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (centre[0] + _RADIUS * radius * x) * _FINE, (centre[1] - _RADIUS * radius * y) * _FINE
