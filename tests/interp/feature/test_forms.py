"""Pictures of minus a unit and of its magnitude: known optima, places in the layer, rectifiers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from interp.feature.certificate import measure_layers, unit_rank
from interp.feature.params.pixels import PixelsSpec
from interp.feature.settings import PictureSettings
from interp.feature.visualize import visualize_units
from interp.layer import Form, LayerPath
from interp.network.network import Network
from interp.probe import solve
from tests.interp.feature.toys_feature import LIKE, QUICK, draw
from tests.interp.toys_networks import images, linear, tricky

FORMS: tuple[Form, ...] = ("value", "neg", "abs")


@pytest.mark.parametrize("unit", range(3))
def test_a_linear_unit_is_brought_to_its_known_extreme(unit: int) -> None:
    weight = torch.randn(3, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    bias = torch.tensor([0.5, -40.0, 40.0], dtype=torch.float64)  # the last two have one sign
    network = linear(weight, bias, (3, 4, 4))
    highest = weight[unit].clamp(min=0).sum() + bias[unit]
    lowest = weight[unit].clamp(max=0).sum() + bias[unit]
    settings = PictureSettings(
        (3, 4, 4), steps=300, parameterization=PixelsSpec(), transforms=(), retries=0
    )
    paths = [LayerPath("logits", unit, form=form) for form in FORMS]
    found = solve(visualize_units(paths, LIKE, settings), network)
    tolerance = 0.02 * (highest - lowest)
    for path, row, picture in zip(paths, found.activation, found.images, strict=True):
        value = network.activations(picture[None], ["logits"])["logits"][0, unit]
        wanted = {"value": value, "neg": -value, "abs": value.abs()}[path.form]
        torch.testing.assert_close(row, wanted)
    assert abs(found.activation[0] - highest) < tolerance
    assert abs(found.activation[1] + lowest) < tolerance
    assert min(abs(found.activation[2] - end.abs()) for end in (highest, lowest)) < tolerance
    if unit:  # of one sign everywhere: the magnitude has one maximum
        assert abs(found.activation[2] - max(highest.abs(), lowest.abs())) < tolerance


def test_places_in_the_layer_are_by_minus_the_units_and_by_their_magnitudes() -> None:
    network, x = tricky(), images(3)
    paths = [
        LayerPath("down", 3, form="neg"),
        LayerPath("down", 3, form="abs"),
        LayerPath("stem", 2, (1, 6), form="neg"),
    ]
    maps = network.activations(x, ["down", "stem"])
    expected = [
        -maps["down"][0].mean((1, 2)),
        maps["down"][1].mean((1, 2)).abs(),
        -maps["stem"][2, :, 1, 6],
    ]
    for path, values, wanted in zip(
        paths, solve(measure_layers(x, paths), network), expected, strict=True
    ):
        assert values is not None
        assert path.unit is not None
        torch.testing.assert_close(values, wanted, rtol=0, atol=1e-12)
        assert unit_rank(values, path.unit) == int((wanted >= wanted[path.unit]).sum())


class Rectified(nn.Module):
    """A convolution with batch norm, which is folded away, behind it a rectifier."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.relu, self.head = nn.ReLU(), nn.Linear(6, 4)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.norm.running_mean = torch.randn(6, generator=generator)
        self.norm.running_var = torch.rand(6, generator=generator) + 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.head(features)  # type: ignore[no-any-return]


@pytest.mark.parametrize("layer", ["conv", "norm"])
@pytest.mark.parametrize("form", ["neg", "abs"])
def test_before_the_rectifier_a_unit_of_a_folded_network_is_lowered(layer: str, form: Form) -> None:
    network = Network(Rectified(), (3, 8, 8), [0.5] * 3, [0.25] * 3, dtype=torch.float64)
    paths = [LayerPath(layer, unit, form=form) for unit in range(6)]
    rows = [(0, unit) for unit in range(6)]
    found = draw(network, paths, rows, settings=replace(QUICK, steps=60))
    noise = network.activations(images(200, 8), [layer])[layer].mean((2, 3))
    best = (-noise if form == "neg" else noise.abs()).amax(0)
    assert (found.activation > best).all()
    assert not found.dead.any()
    true = network.activations(found.images, [layer])[layer].mean((2, 3)).diagonal()
    torch.testing.assert_close(found.activation, -true if form == "neg" else true.abs())


def test_behind_a_rectifier_minus_a_unit_ends_at_0_and_is_alive() -> None:
    network = Network(Rectified(), (3, 8, 8), [0.5] * 3, [0.25] * 3, dtype=torch.float64)
    paths = [LayerPath("relu", unit, (4, 4), form="neg") for unit in range(6)]
    start = network.activations(torch.full((1, 3, 8, 8), 0.5), ["relu"])["relu"][0, :, 4, 4]
    found = draw(
        network, paths, [(0, unit) for unit in range(6)], settings=replace(QUICK, steps=60)
    )
    assert start.max() > 0
    assert (found.activation <= 0).all()
    assert not torch.signbit(found.activation[found.activation == 0]).any()
    assert (found.activation[start > 0] == 0).any()


def test_the_magnitude_of_a_shut_unit_is_opened_through_its_rectifier() -> None:
    module = Rectified()
    module.norm.bias.data.fill_(-6.0)  # shut on gray and on what pictures begin at
    network = Network(module, (3, 8, 8), [0.5] * 3, [0.25] * 3, dtype=torch.float64)
    results = [
        draw(
            network,
            [LayerPath("relu", unit, form=form) for unit in range(6)],
            [(0, unit) for unit in range(6)],
            settings=replace(QUICK, steps=80),
        )
        for form in ("value", "abs")
    ]
    assert torch.equal(results[0].images, results[1].images)
    assert results[1].activation.max() > 0
