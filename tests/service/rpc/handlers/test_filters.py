"""Filters from request to response, on the embedded networks in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from interp.filters.analysis import analyze_filters, sort_filters
from interp.filters.spectra import render_spectra
from interp.filters.weights import filter_weights, render_filters
from interp.layer import UnknownLayer
from service.models.zoo import UnknownModel
from service.rpc.handlers.filters import FilterHandler
from service.rpc.validation import InvalidField
from service.rpc.wire import filters as wire_filters
from striate.v1 import filters_pb2 as pb
from tests.service.rpc.handlers.toys_hosted import CIFAR, DIGITS, Hosted, array, pixels
from tests.service.rpc.toys_studio import CALL


def filters(hosted: Hosted, model: str = CIFAR, **fields: Any) -> pb.RenderFiltersResponse:
    """RenderFilters's response."""
    handler = FilterHandler(hosted.zoo, hosted.compute)
    return asyncio.run(handler.render_filters(pb.RenderFiltersRequest(model=model, **fields), CALL))


def test_filters_as_they_were_unless_asked_otherwise(hosted: Hosted) -> None:
    weights = filter_weights(hosted.zoo.get(CIFAR).network, "conv1")
    found = filters(hosted)
    np.testing.assert_array_equal(array(found.weights), weights.numpy())
    np.testing.assert_array_equal(pixels(found.png), render_filters(weights))
    assert (found.layer, list(found.order), list(found.analyses), found.spectra_png) == (
        "conv1",
        list(range(32)),
        [],
        b"",
    )
    assert found.provenance.model == CIFAR


@pytest.mark.parametrize("order", ["orientation", "hue"])
def test_filters_in_order(hosted: Hosted, order: Any) -> None:
    weights = filter_weights(hosted.zoo.get(CIFAR).network, "conv1")
    analyses = analyze_filters(weights)
    expected = sort_filters(analyses, order)
    code = {"orientation": pb.FILTER_ORDER_ORIENTATION, "hue": pb.FILTER_ORDER_HUE}[order]
    found = filters(
        hosted, order=code, analyze=True, spectra=True, scale=pb.FILTER_SCALE_GLOBAL, zoom=2
    )
    assert list(found.order) == expected
    np.testing.assert_array_equal(array(found.weights), weights.numpy())
    np.testing.assert_array_equal(pixels(found.png), render_filters(weights[expected], "global", 2))
    np.testing.assert_array_equal(
        pixels(found.spectra_png), render_spectra(weights[expected], "global", 2)
    )
    for told, known in zip(found.analyses, analyses, strict=True):
        fit, colour = known.gabor, known.colour
        told_fit = (
            told.orientation,
            told.wavelength,
            told.phase,
            told.sigma_across,
            told.sigma_along,
            told.center_row,
            told.center_column,
        )
        known_fit = (
            fit.orientation,
            fit.wavelength,
            fit.phase,
            fit.across,
            fit.along,
            fit.row,
            fit.column,
        )
        assert told_fit == pytest.approx(known_fit, rel=1e-5, abs=1e-4)
        shares = told.r_squared, told.color_share, told.opponency
        assert shares == pytest.approx(
            (fit.r_squared, colour.share, colour.opponency), rel=1e-5, abs=1e-6
        )
        assert (told.hue, told.peak_wavelength) == pytest.approx(
            (colour.hue, known.peak_wavelength), rel=1e-5
        )


def test_deeper_filters_are_drawn_but_not_analyzed(hosted: Hosted) -> None:
    assert len(pixels(filters(hosted, DIGITS, layer="c3", spectra=True).spectra_png)) == len(
        pixels(filters(hosted, DIGITS, layer="c3").png)
    )
    for field, settings in (
        ("order", {"order": pb.FILTER_ORDER_HUE}),
        ("analyze", {"analyze": True}),
    ):
        with pytest.raises(InvalidField, match=f"^{field}: .*6 input channels"):
            filters(hosted, DIGITS, layer="c3", **settings)


@contextmanager
def dilated(hosted: Hosted, down: int, across: int) -> Iterator[None]:
    """The first convolution as if its weights lay further apart."""
    infos = hosted.zoo.get(CIFAR).layers
    before = infos[0]
    assert before.name == "conv1"
    infos[0] = replace(before, dilation=(down, across))
    try:
        yield
    finally:
        infos[0] = before


def test_lengths_are_in_pixels_of_dilated_layers_too(hosted: Hosted) -> None:
    plain = filters(hosted, analyze=True).analyses[0]
    with dilated(hosted, 2, 2):
        wide = filters(hosted, analyze=True).analyses[0]
    for name in (
        "wavelength",
        "sigma_across",
        "sigma_along",
        "center_row",
        "center_column",
        "peak_wavelength",
    ):
        assert getattr(wide, name) == pytest.approx(2 * getattr(plain, name))
    assert (wide.orientation, wide.phase, wide.r_squared) == (
        plain.orientation,
        plain.phase,
        plain.r_squared,
    )
    with dilated(hosted, 2, 1):
        assert filters(hosted).layer == "conv1"
        with pytest.raises(InvalidField, match=r"^order: .*dilated by 2 down and by 1 across"):
            filters(hosted, order=pb.FILTER_ORDER_ORIENTATION)


def test_angles_stay_below_their_period_in_float32() -> None:
    assert (
        wire_filters.angle(179.9999999, 180),
        wire_filters.angle(90, 180),
        wire_filters.angle(360, 360),
    ) == (0, 90, 0)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"zoom": 33}, "zoom"),
        ({"scale": 5}, "scale"),
        ({"order": 7}, "order"),
        ({"layer": "fc"}, "layer"),
    ],
)
def test_filters_out_of_range(hosted: Hosted, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidField, match=f"^{problem}: "):
        filters(hosted, **settings)


def test_unknown_names(hosted: Hosted) -> None:
    with pytest.raises(UnknownLayer):
        filters(hosted, layer="conv9")
    with pytest.raises(UnknownModel):
        filters(hosted, "cifar10")
