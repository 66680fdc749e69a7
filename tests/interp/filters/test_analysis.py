"""Colours, orders and spectra of filters made by hand."""

import math

import numpy as np
import pytest
import torch

from interp.filters.analysis import FilterAnalysis, analyze_filters, sort_filters
from interp.filters.colour import FilterColour, filter_colour
from interp.filters.gabor import Gabor
from interp.filters.spectra import render_spectra
from interp.filters.weights import render_filters

EDGE = np.sign(np.arange(6) - 2.5)[None, :] * np.ones((6, 1))  # -1 left, 1 right
RED, GREEN, BLUE = np.eye(3)


def painted(colour: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    return np.asarray(colour[:, None, None] * pattern)


def test_an_opponent_filter() -> None:
    found = filter_colour(painted(RED - GREEN, EDGE))
    assert (found.share, found.opponency) == pytest.approx((1, 1))
    assert found.hue == pytest.approx(150)  # of the two equal ends at 330 and 150 degrees
    lopsided = filter_colour(painted(RED - GREEN, np.where(EDGE > 0, 2.0, -1.0)))
    assert lopsided.hue == pytest.approx(330), "red less green is the stronger end"
    assert lopsided.opponency == pytest.approx(2 * 4 / (16 + 1))  # ends of 4 and 1


def test_a_gray_edge_has_no_colour() -> None:
    assert filter_colour(painted(np.ones(3), EDGE)) == FilterColour(0, 0, 0)
    assert filter_colour(EDGE[None]) == FilterColour()
    assert filter_colour(np.zeros((3, 2, 2))) == FilterColour()


@pytest.mark.parametrize(
    ("colour", "hue"),
    [(RED, 0), (GREEN, 120), (BLUE, 240), (RED + GREEN, 60), (BLUE + RED, 300), (-RED, 180)],
)
def test_one_colour_has_a_hue_and_no_opponent(colour: np.ndarray, hue: float) -> None:
    found = filter_colour(painted(colour, np.abs(EDGE)))
    assert (found.opponency, found.hue) == pytest.approx((0, hue))
    assert found.share == pytest.approx(
        1 - colour.sum() ** 2 / 3 / (colour**2).sum()
    )  # less what lies along gray


def test_share_is_of_the_energy() -> None:
    mixed = painted(np.ones(3) / math.sqrt(3), EDGE) + 2 * painted(
        (RED - BLUE) / math.sqrt(2), EDGE.T
    )
    assert filter_colour(mixed).share == pytest.approx(4 / 5)


def test_red_beside_green_is_half_opponent() -> None:
    beside = painted(RED, (EDGE > 0) * 1.0) + painted(GREEN, (EDGE < 0) * 1.0)
    assert filter_colour(beside).opponency == pytest.approx(-math.cos(math.radians(120)))


def analysis(
    orientation: float,
    r_squared: float,
    share: float = 0.0,
    hue: float = 0.0,
    is_oriented: bool = True,
) -> FilterAnalysis:
    gabor = Gabor(orientation, r_squared=r_squared, is_oriented=is_oriented)
    return FilterAnalysis(gabor, FilterColour(share, 0, hue), 0, 0)


def test_orders() -> None:
    filters = [
        analysis(90, 0.9),
        analysis(10, 0.1),
        analysis(170, 0.6, 0.9, 240),
        analysis(30, 0.5),
        analysis(20, 0.4, 0.5, 10),
        analysis(30, 0.7, 0.49, 5),
    ]
    assert sort_filters(filters, "channel") == [0, 1, 2, 3, 4, 5]
    assert sort_filters(filters, "orientation") == [
        3,
        5,
        0,
        2,
        4,
        1,
    ]  # then what does not fit, the best first
    assert sort_filters(filters, "hue") == [4, 2, 3, 5, 0, 1]  # hues 10 and 240, then gray ones
    blob = analysis(0, 0.99, is_oriented=False)  # fits, at any angle
    assert sort_filters([blob, *filters], "orientation")[:5] == [4, 6, 1, 3, 0]


def test_analysis_of_a_layer() -> None:
    rows = np.mgrid[:7, :7][0] - 3.0
    bars = np.exp(-(rows**2) / 6 - rows.T**2 / 6) * np.cos(2 * np.pi * rows / 4)
    weights = torch.from_numpy(
        np.stack([painted(RED - GREEN, bars.T), painted(np.ones(3), bars)])
    ).float()
    coloured, gray = analyze_filters(weights)
    assert (coloured.gabor.orientation, gray.gabor.wavelength) == pytest.approx((90, 4), abs=0.05)
    assert (coloured.colour.is_coloured, gray.colour.is_coloured) == (True, False)
    assert gray.peak_wavelength == pytest.approx(4, rel=0.1)
    assert coloured.fits
    for wrong in (torch.zeros(1, 2, 3, 3), torch.zeros(3, 3), torch.full((1, 3, 3, 3), torch.nan)):
        with pytest.raises(ValueError, match=r"filters of 1 or 3|finite"):
            analyze_filters(wrong)


def test_spectra_are_laid_out_like_filters() -> None:
    weights = torch.zeros(3, 3, 8, 8)
    weights[0] = torch.cos(2 * math.pi * torch.arange(8) / 4)  # vertical bars, a period of 4 pixels
    weights[1, 1] = 1.0
    picture = render_spectra(weights, zoom=1)
    assert picture.shape == (*render_filters(weights, zoom=1).shape[:2], 1)
    bars, flat, empty = picture[1:9, 1:9, 0], picture[1:9, 10:18, 0], picture[10:18, 1:9, 0]
    assert np.argwhere(bars == 255).tolist() == [
        [4, 2],
        [4, 6],
    ]  # a quarter of a period a pixel, left and right of the middle
    assert np.argwhere(flat).tolist() == [[4, 4]]
    assert not empty.any()
    together = render_spectra(weights, "global", zoom=1)
    highest = 64 / math.sqrt(3)  # of the flat channel, as root mean square of three
    assert (together[5, 14, 0], together[5, 3, 0]) == (255, round(255 * (8 * 8 / 2) / highest))
    assert (
        render_spectra(torch.ones(2, 5, 3, 3), zoom=2).shape
        == render_filters(torch.ones(2, 5, 3, 3), zoom=2).shape
    )
    with pytest.raises(ValueError, match="finite"):
        render_spectra(torch.full((1, 1, 2, 2), torch.inf))
