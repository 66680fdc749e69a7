"""Filters, tuning curves and activations: what stays unset, and what is refused."""

from typing import Any

import numpy as np
import pytest

import striate
from tests.client.fakes.fakes_server import Fake

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
