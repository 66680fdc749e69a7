"""Filters, tuning curves and activations through a real server process agree with the library
computed here.
"""

import numpy as np
import pytest
import torch

import striate
from interp.filters.analysis import analyze_filters, sort_filters
from interp.filters.gratings import Gratings, default_wavelengths
from interp.filters.tuning import measure_responses
from interp.filters.weights import filter_weights
from interp.network.describe import describe
from interp.network.network import Network
from interp.probe import solve


def test_filters_are_analyzed(net: striate.Model, local: Network) -> None:
    analyses = analyze_filters(filter_weights(local, "c1"))
    found = net.filters(order="orientation", analyze=True, spectra=True)
    assert list(found.order) == sort_filters(analyses, "orientation")
    assert [one.r_squared for one in found.analyses] == pytest.approx(
        [one.gabor.r_squared for one in analyses], abs=1e-5
    )
    assert found.spectra is not None
    assert found.spectra.size == found.image.size
    with pytest.raises(striate.InvalidArgument, match="6 input channels"):
        net.filters("c3", analyze=True)


def test_tuning_agrees_with_the_library(net: striate.Model, local: Network) -> None:
    info = next(one for one in describe(local) if one.name == "c1")
    expected = solve(
        measure_responses(local.shape, info, Gratings(default_wavelengths(local.shape, 5), 6, 4)),
        local,
    )
    found = net.tuning(orientations=6, phases=4)
    np.testing.assert_allclose(found.responses, expected.responses, rtol=1e-4, atol=1e-5)
    assert [one.selectivity for one in found] == pytest.approx(
        [expected.preference(unit).selectivity for unit in range(6)], abs=1e-4
    )
    with pytest.raises(striate.InvalidArgument, match="must be from 2 to 32"):
        net.tuning(wavelengths=[40])


def test_activations_agree_with_the_library(
    net: striate.Model, local: Network, digits: tuple[list[bytes], list[int]], pixels: torch.Tensor
) -> None:
    maps = local.activations(pixels[:1], ["c3"])["c3"][0].numpy()
    found = net.activations(digits[0][0], "c3", 4)
    best = np.argsort(-maps.max((1, 2)), kind="stable")[:4]
    assert [one.unit for one in found.units] == best.tolist()
    np.testing.assert_allclose(found.maps, maps[best], rtol=1e-4, atol=1e-5)
    with pytest.raises(striate.BadImage, match=r"image\.encoded"):
        net.activations(b"no picture", "c3")
