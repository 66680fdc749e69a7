"""Filters, tuning curves and activations as the client sees them: values, files, what a notebook
shows, and commands.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from tests.client.fakes_measuring import FIELDS, MAPS, WEIGHTS, responses
from tests.client.fakes_server import DIGEST, Fake, favourite

PIXELS = np.random.default_rng(3).integers(0, 256, (4, 5, 3), dtype=np.uint8)
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


def test_tuning(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.tuning(
        "stem",
        orientations=6,
        wavelengths=np.array([3.0, 6.0, 9.0]),
        phases=4,
        contrast=0.5,
        priority="batch",
    )
    (request,) = fake.requests("MeasureTuning")
    assert (request.layer, request.orientations, list(request.wavelengths), request.phases) == (
        "stem",
        6,
        [3, 6, 9],
        4,
    )
    assert (request.contrast, request.priority) == (0.5, 2)
    np.testing.assert_array_equal(found.responses, responses(3, 6))
    assert (found.layer, found.orientations, found.wavelengths) == (
        "stem",
        (0, 30, 60, 90, 120, 150),
        (3, 6, 9),
    )
    assert (len(found), found[1], list(found)[1]) == (
        2,
        striate.UnitTuning(1, 4, 0.5, 11, -1),
        found[1],
    )
    assert found.provenance.model_digest == DIGEST
    assert found.image.size == (12, 6)
    np.testing.assert_array_equal(np.load(found.save(tmp_path / "t.npy")), found.responses)
    Image.open(io.BytesIO(found._repr_png_())).verify()
    assert "stem" in found._repr_html_()


def test_activations(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.activations(PIXELS, "stem", 2, order="magnitude")
    (request,) = fake.requests("GetActivations")
    assert (request.layer, request.k, request.all_units, request.order) == ("stem", 2, False, 3)
    assert favourite(request.image.tensor.data) == favourite(PIXELS.tobytes())
    assert [(one.unit, one.value, one.position, one.label) for one in found.units] == [
        (3, 6, (1, 2), ""),
        (2, 7, (1, 2), ""),
    ]
    np.testing.assert_array_equal(found.maps, MAPS[[3, 2]])
    assert found.image.size == (7, 5)
    assert found.save(tmp_path / "a.png").read_bytes() == found.png
    assert "stem" in found._repr_html_()
    whole = net.activations(Image.fromarray(PIXELS), "logits", all_units=True)
    np.testing.assert_array_equal(np.load(whole.save(tmp_path / "a.npy")), MAPS)
    assert [one.label for one in whole.units] == ["crane", "crane", "sports-car"]


def test_unset_settings_stay_unset(fake: Fake, net: striate.Model) -> None:
    net.tuning()
    net.activations(PIXELS, "stem")
    (tuning,), (activations,) = fake.requests("MeasureTuning"), fake.requests("GetActivations")
    assert {field.name for field, _ in tuning.ListFields()} == {"model"}
    assert {field.name for field, _ in activations.ListFields()} == {"model", "image", "layer"}


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda net: net.filters(order="size"), "order"),
        (lambda net: net.tuning(orientations=0), "orientations"),
        (lambda net: net.tuning(phases=0), "phases"),
        (lambda net: net.tuning(contrast=0.0), "contrast"),
        (lambda net: net.tuning(wavelengths=[]), "wavelengths"),
        (lambda net: net.tuning(wavelengths=[4, "5"]), "wavelengths[1]"),
        (lambda net: net.tuning(priority="now"), "priority"),
        (lambda net: net.activations(PIXELS, "stem", 0), "k"),
        (lambda net: net.activations(np.stack([PIXELS, PIXELS]), "stem"), "image"),
        (lambda net: net.activations(PIXELS, "stem", order="size"), "order"),
    ],
)
def test_settings_out_of_range_are_refused(net: striate.Model, make: Any, field: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        make(net)
    assert list(caught.value.fields) == [field]
