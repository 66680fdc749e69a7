"""The weights of a convolution, their picture, and their analysis."""

from pathlib import Path

import numpy as np

import striate
from tests.client.fakes.fakes_measuring import FIELDS, WEIGHTS
from tests.client.fakes.fakes_server import (
    Fake,
)


def test_filters(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.filters("stem", scale="global", zoom=3)
    assert fake.requests("RenderFilters")[0].scale == 2
    expected = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)
    np.testing.assert_array_equal(found.weights, expected)
    assert (found.layer, found.normalization, found.image.size) == (
        "stem",
        "zero is mid-gray",
        (9, 9),
    )
    np.testing.assert_array_equal(np.load(found.save(tmp_path / "new" / "w.npy")), expected)
    assert found.save(tmp_path / "f.png").read_bytes() == found.png


ANALYSIS = [
    "orientation",
    "wavelength",
    "phase",
    "r_squared",
    "color_share",
    "opponency",
    "hue",
    "peak_orientation",
    "peak_wavelength",
]


def test_filters_analyzed_and_sorted(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    plain = net.filters()
    assert (plain.order, plain.analyses, plain.spectra) == ((0, 1), (), None)
    found = net.filters("stem", order="hue", analyze=True, spectra=True)
    request = fake.requests("RenderFilters")[1]
    assert (request.layer, request.order, request.analyze, request.spectra) == (
        "stem",
        3,
        True,
        True,
    )
    assert found.order == (1, 0)
    numbers = {
        name: 1 + 16 * place for place, name in enumerate(FIELDS)
    }  # of channel 1, as the fake counts
    assert {name: getattr(found.analyses[1], name) for name in ANALYSIS} == {
        name: numbers[name] for name in ANALYSIS
    }
    assert found.analyses[1].sigma == (numbers["sigma_across"], numbers["sigma_along"])
    assert found.analyses[1].center == (numbers["center_row"], numbers["center_column"])
    assert found.spectra is not None
    assert found.spectra.getpixel((0, 0)) == (8, 8, 8)
    assert found._repr_html_().count("<img") == 2
    np.testing.assert_array_equal(np.load(found.save(tmp_path / "w.npy")), WEIGHTS)
