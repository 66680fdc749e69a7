"""Tuning curves of layers whose answers to gratings are known, and of real first layers."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from interp.filters.analysis import analyze_filters
from interp.filters.gratings import Gratings, default_wavelengths, grating
from interp.filters.tuning import Tuning, measure_responses, unpadded_positions
from interp.filters.tuning_picture import draw_tuning
from interp.filters.weights import filter_weights, first_convolution
from interp.network.describe import describe
from interp.network.network import Network
from interp.probe import solve
from service.models.catalogue import Catalogue
from tests.interp.toys_networks import Counting, data

SHAPE = (3, 32, 32)


class Filters(nn.Module):
    """One convolution, and a head that gives it logits."""

    def __init__(
        self,
        weights: Tensor,
        padding: int = 0,
        stride: int = 1,
        bias: float = 0.0,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(
            weights.shape[1], len(weights), weights.shape[2], stride, padding, dilation
        )
        with torch.no_grad():
            self.first.weight.copy_(weights)
            self.first.bias.fill_(bias)  # type: ignore[union-attr]
        self.late = nn.Conv2d(len(weights), 2, 29, padding=14)

    def forward(self, x: Tensor) -> Tensor:
        return self.late(self.first(x)).amax((2, 3))  # type: ignore[no-any-return]


def hosted(weights: Tensor, **settings: float) -> Network:
    return Network(
        Filters(weights, **settings),  # type: ignore[arg-type]
        (weights.shape[1], 32, 32),
        [0.5] * weights.shape[1],
        [1.0] * weights.shape[1],
    )


def measured(network: Network, layer: str, gratings: Gratings) -> Tuning:
    info = next(one for one in describe(network) if one.name == layer)
    return solve(measure_responses(network.shape, info, gratings), network)


def test_gratings_are_what_they_are_called() -> None:
    horizontal, vertical, rising = (
        grating((1, 8, 12), angle, 4.0, contrast=0.5)[0] for angle in (0, 90, 45)
    )
    assert np.ptp(horizontal, 1).max() == np.ptp(vertical, 0).max() == 0
    assert (
        rising[3, 5] == pytest.approx(rising[2, 6]) == pytest.approx(rising[1, 7])
    )  # as far up as right: the same bar
    for picture in (horizontal, vertical):
        assert (picture.max() - picture.min()) / (picture.max() + picture.min()) <= 0.5
    fine = grating((3, 64, 64), 30, 16.0, 90, 0.5)
    assert (fine.max() - fine.min()) / (fine.max() + fine.min()) == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(fine[0], fine[2])
    assert fine.mean() == pytest.approx(0.5, abs=0.01)
    assert np.allclose(vertical[:, :8], vertical[:, 4:]), "a period of 4 pixels"


def test_every_combination_is_shown_once() -> None:
    gratings = Gratings((3.0, 7.5), orientations=5, phases=3, contrast=0.8)
    network = Counting(hosted(torch.randn(1, 3, 5, 5)))
    info = next(one for one in describe(network.oracle) if one.name == "first")  # type: ignore[arg-type]
    solve(measure_responses(SHAPE, info, gratings), network)
    gray, *shown = network.probes
    assert (gray.images == 0.5).all()
    assert not any(probe.differentiates for probe in network.probes)
    expected = itertools.product((3.0, 7.5), np.arange(5) * 36.0, np.arange(3) * 120.0)
    pictures = np.stack(
        [grating(SHAPE, angle, wavelength, phase, 0.8) for wavelength, angle, phase in expected]
    )
    np.testing.assert_array_equal(torch.cat([probe.images for probe in shown]).numpy(), pictures)


def test_responses_of_a_linear_layer_are_its_frequency_response() -> None:
    """A filter answers the best phase of a grating with half the contrast times its Fourier
    transform there.
    """
    weights = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    gratings = Gratings((3.3, 6.0), orientations=6, phases=16, contrast=0.6)
    found = measured(hosted(weights, padding=2, bias=0.25), "first", gratings)
    rows, columns = np.mgrid[:5, :5]
    for unit, place, number in itertools.product(range(4), range(2), range(6)):
        theta, wavelength = math.radians(30 * number), gratings.wavelengths[place]
        across = columns * math.sin(theta) + rows * math.cos(theta)
        transform = (weights[unit, 0].numpy() * np.exp(2j * np.pi * across / wavelength)).sum()
        assert found.responses[unit, place, number] == pytest.approx(
            0.25 + 0.3 * abs(transform), rel=0.02
        )  # 16 phases: within 2 %
    assert found.baseline == pytest.approx([0.25] * 4, abs=1e-6)


@pytest.mark.parametrize("orientation", [0, 20, 45, 90, 117, 160])
def test_a_gabor_filter_prefers_its_own_orientation_and_wavelength(orientation: float) -> None:
    rows, columns = np.mgrid[:11, :11] - 5.0
    theta = math.radians(orientation)
    across = columns * math.sin(theta) + rows * math.cos(theta)
    wave = np.exp(-(rows**2 + columns**2) / 18) * np.sin(2 * np.pi * across / 5)
    found = measured(
        hosted(torch.from_numpy(wave)[None, None].float()),
        "first",
        Gratings((3.0, 5.0, 8.0), 12, 8),
    ).preference(0)
    assert abs((found.orientation - orientation + 90) % 180 - 90) < 1
    assert (found.wavelength, found.selectivity > 0.6) == (5, True)


@pytest.mark.parametrize("side", [8, 9])
def test_fit_spectrum_and_tuning_agree_on_a_dilated_filter_in_steps(side: int) -> None:
    """A wave of 9 pixels, of which every second is a weight; for both an even and an odd number of
    weights.
    """
    rows, columns = 2 * (np.mgrid[:side, :side] - (side - 1) / 2)
    theta = math.radians(30)
    across = columns * math.sin(theta) + rows * math.cos(theta)
    weights = torch.from_numpy(
        np.exp(-(rows**2 + columns**2) / 50) * np.sin(2 * np.pi * across / 9)
    )[None, None].float()
    (told,) = analyze_filters(weights, 2)
    assert (told.gabor.orientation, told.gabor.wavelength, told.gabor.across) == pytest.approx(
        (30, 9, 5), rel=1e-3
    )
    assert (told.gabor.row, told.gabor.column) == pytest.approx((side - 1, side - 1), rel=1e-3)
    assert (told.peak_orientation, told.peak_wavelength) == pytest.approx((30, 9), rel=0.1)
    found = measured(
        hosted(weights, dilation=2, stride=2), "first", Gratings((6.0, 9.0, 13.0), 12, 8)
    ).preference(0)
    assert (found.orientation, found.wavelength) == pytest.approx(
        (30, 9), abs=1
    )  # the wavelengths shown are further apart than that


def curve(*values: float, baseline: float = 0.0) -> Tuning:
    responses = np.array(values, np.float32)[None, None]
    return Tuning(
        np.arange(len(values)) * 180.0 / len(values),
        np.array([4.0]),
        responses,
        np.array([baseline], np.float32),
    )


def test_vector_mean_and_selectivity() -> None:
    assert curve(0, 0, 3, 0).preference(0).orientation == pytest.approx(90)
    assert curve(0, 0, 3, 0).preference(0).selectivity == pytest.approx(1)
    assert curve(1, 0, 0, 1).preference(0).orientation == pytest.approx(
        157.5
    )  # between 135 and 180
    one = curve(3, 1, 1, 1).preference(0)
    assert (one.orientation, one.selectivity, one.response) == pytest.approx((0, 2 / 6, 3))
    above = curve(3, 1, 1, 0, baseline=1).preference(0)
    assert (above.orientation, above.selectivity, above.baseline) == pytest.approx((0, 1, 1))
    for flat in (
        curve(2, 2, 2, 2),
        curve(0, 0, 0, 0),
        curve(-3, -1, -3, -1, baseline=0),
        curve(5, 1, 5, 1),
    ):
        assert (flat.preference(0).orientation, flat.preference(0).selectivity) == (
            0,
            0,
        )  # the last is two orientations at once


def test_positions_that_see_padding_are_left_out() -> None:
    """Counted by brute force: the positions that an image of infinite size would answer alike."""
    for padding, stride in ((0, 1), (3, 1), (2, 3), (4, 2)):
        network = hosted(torch.randn(1, 1, 5, 5), padding=padding, stride=stride)
        info = next(one for one in describe(network) if one.name == "first")
        extent = info.output_shape[1]
        inside = [
            i for i in range(extent) if i * stride - padding >= 0 and i * stride - padding + 5 <= 32
        ]
        assert list(range(extent))[unpadded_positions(info, network.shape)[0]] == inside
    late = next(
        one for one in describe(network) if one.name == "late"
    )  # its field is wider than the image
    assert unpadded_positions(late, network.shape) == tuple(
        slice(extent // 2, extent // 2 + 1) for extent in late.output_shape[1:]
    )


def test_usual_wavelengths() -> None:
    assert default_wavelengths((3, 224, 224), 7) == pytest.approx(
        2.5 * (14 / 2.5) ** (np.arange(6) / 5)
    )
    assert max(default_wavelengths((3, 224, 200), 300)) == pytest.approx(200)
    assert max(default_wavelengths((3, 224, 224), 1)) == pytest.approx(10)


def test_the_picture_points_where_the_unit_does() -> None:
    shown = draw_tuning(curve(0, 5, 0, 0))  # 45 degrees: a lobe from lower left to upper right
    dark = np.argwhere(shown[:120].sum(2) < 400)  # above the caption
    rows, columns = dark[:, 0] - 66, dark[:, 1] - 66
    assert shown.shape == (148, 132, 3)
    assert len(dark) > 100
    assert np.corrcoef(-rows, columns)[0, 1] > 0.8
    many = Tuning(
        np.array([0.0, 45.0, 90.0, 135.0]),
        np.array([4.0]),
        np.ones((70, 1, 4), np.float32),
        np.zeros(70, np.float32),
    )
    assert draw_tuning(many).shape == (8 * 148, 8 * 132, 3)
    with pytest.raises(ValueError, match="64 units"):
        draw_tuning(many, range(65))


def agreement(network: Network) -> tuple[float, int]:
    """Correlation of fitted and measured orientations over clean filters, and how many these are.

    Fisher & Lee 1983, "A correlation coefficient for circular data", in doubled angles. Clean: well
    fitted, gray, off the rim, and selective enough to have an orientation.
    """
    layer = first_convolution(network)
    weights = filter_weights(network, layer)
    info = next(one for one in describe(network) if one.name == layer)
    tuning = measured(
        network,
        layer,
        Gratings(default_wavelengths(network.shape, info.receptive_field.height)),  # type: ignore[union-attr]
    )
    fits, told = analyze_filters(weights), [tuning.preference(unit) for unit in range(len(weights))]
    clean = [
        unit
        for unit, fit in enumerate(fits)
        if fit.gabor.r_squared >= 0.8 and fit.colour.share < 0.3 and told[unit].selectivity >= 0.3
    ]
    fitted = _sines([fits[unit].gabor.orientation for unit in clean])
    seen = _sines([told[unit].orientation for unit in clean])
    return float((fitted * seen).sum() / np.sqrt((fitted**2).sum() * (seen**2).sum())), len(clean)


def _sines(degrees: list[float]) -> NDArray[np.float64]:
    doubled = np.radians(2 * np.array(degrees))
    return np.asarray(np.sin(doubled[:, None] - doubled))


def test_fitted_and_measured_orientations_agree_on_the_embedded_network() -> None:
    plan = Catalogue(None, {}).blueprint("cifar10-plain", "")
    seen = plan.preprocessing
    correlation, clean = agreement(Network(plan.build(), seen.shape, seen.mean, seen.std))
    assert clean >= 12
    assert correlation > 0.97


@pytest.mark.parametrize(
    ("name", "layer", "stride", "padding", "std"),
    [("squeezenet1_1", "features.0", 2, 0, 0.225), ("bvlc_googlenet", "conv1", 2, 3, 1 / 255)],
)
def test_fitted_and_measured_orientations_agree_on_published_networks(
    name: str, layer: str, stride: int, padding: int, std: float
) -> None:
    weights = load_file(data() / "weights" / f"{name}.safetensors")[f"{layer}.weight"]
    module = Filters(weights, stride=stride, padding=padding)
    correlation, clean = agreement(Network(module, (3, 64, 64), (0.48, 0.456, 0.407), (std,) * 3))
    assert clean >= 24
    assert correlation > 0.95
