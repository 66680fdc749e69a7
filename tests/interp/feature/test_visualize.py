"""Feature visualization: it climbs, it repeats, and no picture depends on its neighbours."""

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.feature.appearance import appearance
from interp.feature.diversity import diversity, scaled_diversity
from interp.feature.params.fourier import Fourier, FourierSpec
from interp.feature.settings import PictureSettings
from interp.feature.transform import HELD_OUT_VIEWS, held_out_view
from interp.feature.visualize import VisualizationResult, visualize, visualize_units
from interp.layer import LayerPath
from interp.network.architectures import LeNet5
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe, StepProgress, solve
from interp.seeds import generators
from tests.interp.feature.toys_feature import LIKE, draw, gated, scores, seed_of
from tests.interp.toys_networks import MEAN, STD, Counting, cifar, images, trained_resnet, tricky

UNITS = ("stem.2:1", "down:2@3,3", "logits:0", "twice", "head:4", "stem.0:1@0,7")


def paths(network: Network, texts: tuple[str, ...] | list[str]) -> list[LayerPath]:
    return [LayerPath.parse(text, network.layers) for text in texts]


def unit_scores(network: Network, x: Tensor, path: LayerPath) -> Tensor:
    """The activation of one unit on every one of these images."""
    return scores(network, x, activation([path] * len(x)))


def visualized(
    network: Network | Counting,
    units: list[LayerPath],
    size: int = 12,
    steps: int = 40,
    **options: Any,
) -> VisualizationResult:
    settings = PictureSettings((3, size, size), steps, **options)
    return solve(visualize_units(units, LIKE, settings), network)


@pytest.mark.parametrize("unit", UNITS)
def test_a_picture_excites_its_unit_far_more_than_its_start_and_random_images(unit: str) -> None:
    network = tricky(size=12)
    (path,) = paths(network, [unit])
    # Zoomed out, the maps of a network this small are gray for the most part.
    found = visualized(network, [path], steps=120, transforms=())
    space = Fourier((3, 12, 12), LIKE)
    start = unit_scores(network, space.image(space.start(generators(0, 0, 50))), path)
    noise = unit_scores(network, images(300, 12), path)
    assert found.activation[0] > noise.max()
    assert found.activation[0] - start.mean() > 3 * (start.max() - start.mean())
    assert not found.dead
    assert found.images.min() >= 0
    assert found.images.max() <= 1


def test_pictures_for_a_trained_network_excite_it_more_than_photographs() -> None:
    network = trained_resnet()
    units = paths(network, ["layer1.1:3", "layer2.2:7", "logits:4"])
    found = solve(
        visualize_units(units, torch.zeros(()), PictureSettings(network.shape, 64)), network
    )
    photographs, _ = cifar(64)
    for path, reached in zip(units, found.activation, strict=True):
        assert reached > unit_scores(network, photographs, path).max()


def test_the_activation_is_that_of_the_picture_returned_without_transforms() -> None:
    network = tricky(size=12)
    units = paths(network, UNITS)
    found = visualized(network, units, steps=5)
    for row, path in enumerate(units):
        torch.testing.assert_close(
            found.activation[row],
            unit_scores(network, found.images[row : row + 1], path)[0],
            rtol=0,
            atol=1e-12,
        )


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    network = tricky(size=12)
    units = paths(network, UNITS[:2])
    first, again, other = (visualized(network, units, steps=10, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.activation, again.activation)
    assert (first.images - other.images).abs().amax((1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize("power", [-40, 30])
def test_the_unit_that_scores_are_in_does_not_matter(power: int) -> None:
    network, wanted = tricky(size=12), activation([LayerPath("down", 2), LayerPath("logits", 0)])
    plain, scaled = (
        solve(
            visualize(
                factor * wanted, [(0, 0), (0, 1)], LIKE, PictureSettings((3, 12, 12), steps=20)
            ),
            network,
        )
        for factor in (1.0, 2.0**power)
    )
    torch.testing.assert_close(scaled.images, plain.images, rtol=0, atol=1e-6)


def test_a_picture_does_not_depend_on_the_others_of_its_request() -> None:
    network = tricky(size=12)
    units = paths(network, UNITS)
    mixed = visualized(network, units)
    for row, path in enumerate(units):
        separate = visualized(network, [path] * (row + 1))  # row i draws from (seed, i)
        torch.testing.assert_close(separate.images[row], mixed.images[row], rtol=0, atol=1e-9)
        torch.testing.assert_close(
            separate.activation[row], mixed.activation[row], rtol=0, atol=1e-9
        )


@pytest.mark.parametrize(
    ("layer", "reach", "stride"), [("stem.0", 1, 1), ("twice", 3, 1), ("down", 4, 2)]
)
def test_a_neuron_is_moved_by_its_receptive_field_alone(
    layer: str, reach: int, stride: int
) -> None:
    network = tricky(size=20)
    row, column = 5, 4
    objective = activation([LayerPath(layer, 1, (row, column))] * 8)
    (answer,) = network.answer([Probe(images(8, 20), objective)])
    assert answer.grad is not None
    moved = answer.grad.abs().sum((0, 1)) > 0
    field = torch.zeros(20, 20, dtype=torch.bool)
    field[
        max(0, stride * row - reach) : stride * row + reach + 1,
        max(0, stride * column - reach) : stride * column + reach + 1,
    ] = True
    assert torch.equal(moved, field)


def test_pictures_of_gray_networks_are_gray() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(LeNet5(), (1, 32, 32), [0.5], [0.5], dtype=torch.float64)
    found = solve(
        visualize_units(
            paths(network, ["c1:2", "logits:3"]), LIKE, PictureSettings(network.shape, steps=30)
        ),
        network,
    )
    assert found.images.shape == (2, 1, 32, 32)
    for row, path in enumerate(paths(network, ["c1:2", "logits:3"])):
        assert found.activation[row] > unit_scores(network, images(100, 32, channels=1), path).max()


class Units(nn.Module):
    """Channel 0 lives, channel 1 begins shut, channel 2 is shut for good: it has no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = (
            nn.Conv2d(3, 3, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Linear(3, 2),
        )
        nn.init.zeros_(self.conv.weight[2])
        with torch.no_grad():
            self.conv.bias.copy_(torch.tensor([0.1, -1.0, -1.0]))  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


def test_only_what_no_picture_can_move_is_dead() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(Units(), (3, 8, 8), [0.5] * 3, [0.25] * 3, dtype=torch.float64)
    found = visualized(network, paths(network, ["relu:0", "relu:1", "relu:2"]), size=8, steps=100)
    assert found.dead.tolist() == [False, False, True]
    assert found.activation[0] > 0.3
    assert found.activation[1] > 0.05
    assert found.activation[2] == 0


@pytest.mark.parametrize("size", [12, 20])
def test_progress_counts_the_steps_and_previews_are_the_running_pictures(size: int) -> None:
    counting = Counting(tricky(size=12))
    found = visualized(
        counting,
        [LayerPath("down", 1), LayerPath("stem", 2)],
        size=size,
        steps=6,
        transforms=(),
    )
    reported = [p.progress for p in counting.probes if p.progress is not None]
    assert all(isinstance(p, StepProgress) for p in reported)
    assert [(p.step, p.steps) for p in reported] == [(step, 6) for step in range(1, 7)]
    assert torch.equal(reported[-1].preview(), found.images)
    assert found.images.shape == (2, 3, size, size)
    assert [len(p.images) for p in counting.probes] == [2] * 6 + [
        16,
        16,
        2,
        2,
    ]  # then the pictures with 16 views of each, and their layers
    assert not any(p.differentiates for p in counting.probes[6:])


def test_pictures_and_certificates_do_not_depend_on_the_company() -> None:
    network, thresholds = tricky(), torch.tensor([1e9, math.nan, 0.0, 1e9], dtype=torch.float64)
    units = [
        LayerPath("down", 3),
        LayerPath("stem", 1),
        LayerPath("logits", 2),
        LayerPath("down", 0, (1, 1)),
    ]
    rows = [(1, 9), (1, 4), (2, 4), (0, 0)]
    together = draw(network, units, rows, further_seeds=1, retries=1, thresholds=thresholds)
    for row in range(4):
        part = slice(row, row + 1)
        alone = draw(
            network,
            units[part],
            rows[part],
            further_seeds=1,
            retries=1,
            thresholds=thresholds[part],
        )
        torch.testing.assert_close(alone.images, together.images[part], rtol=0, atol=1e-9)
        for name in (
            "activation",
            "held_out",
            "held_out_minimum",
            "rank",
            "units",
            "seed_activations",
            "attempts",
            "learning_rates",
        ):
            of_one, of_all = (
                getattr(alone.certificate, name),
                getattr(together.certificate, name)[part],
            )
            torch.testing.assert_close(of_one, of_all, rtol=0, atol=1e-9)
        assert alone.certificate.seeds == together.certificate.seeds[part]


def test_an_auxiliary_objective_is_not_measured_and_cannot_hide_a_dead_unit() -> None:
    network, groups = gated(), torch.tensor([0, 0])
    units = [LayerPath("units", 0), LayerPath("units", 1)]
    seed, settings = (
        seed_of(False),
        PictureSettings((3, 8, 8), steps=1, learning_rate=1e-4, transforms=()),
    )
    for auxiliary in (
        diversity("units", groups),
        scaled_diversity(activation(units), "units", groups),
    ):
        found = draw(
            network,
            units,
            [(seed, 0), (seed, 1)],
            settings=settings,
            auxiliary=auxiliary,
            retries=0,
        )
        torch.testing.assert_close(
            found.activation, scores(network, found.images, activation(units)), rtol=0, atol=1e-12
        )
        assert found.dead.tolist() == [True, False]


def test_pictures_with_alpha_are_measured_over_gray() -> None:
    network, unit = tricky(), LayerPath("down", 1)
    settings = PictureSettings((3, 8, 8), steps=8, alpha=True, transforms=())
    found = draw(network, [unit], [(0, 0)], settings=settings)
    assert found.images.shape == (1, 4, 8, 8)
    colour, alpha = found.images[:, :3], found.images[:, 3:]
    laid = alpha * colour + (1 - alpha) * 0.5
    assert alpha.min() < 0.9
    torch.testing.assert_close(
        found.activation, scores(network, laid, activation([unit])), rtol=0, atol=1e-12
    )


@dataclass(frozen=True)
class Attentive(FourierSpec):
    """Fourier spectra that return accumulated gradients as an alpha channel."""

    percentile: float = 90.0

    @property
    def attention_percentile(self) -> float:
        return self.percentile


def test_attention_becomes_an_alpha_channel_beside_the_picture_that_was_measured() -> None:
    network, unit = tricky(), LayerPath("down", 1, (1, 1))
    plain = draw(
        network, [unit], [(0, 0)], settings=PictureSettings((3, 8, 8), steps=8, transforms=())
    )
    for percentile in (100.0, 75.0):
        settings = PictureSettings(
            (3, 8, 8), steps=8, parameterization=Attentive(percentile=percentile), transforms=()
        )
        found = draw(network, [unit], [(0, 0)], settings=settings)
        assert torch.equal(found.images[:, :3], plain.images)
        assert torch.equal(found.activation, plain.activation)
        alpha = found.images[0, 3]
        assert (alpha[:7, :7] > 0).any()
        assert not alpha[7].any()  # outside the unit's receptive field no pixel was ever pulled
        assert ((alpha >= 0) & (alpha <= 1)).all()
        assert (alpha == 1).sum() == (1 if percentile == 100 else 16)


def test_pictures_begin_at_an_image() -> None:
    network, photos = tricky(), images(2)
    settings = PictureSettings((3, 8, 8), steps=1, learning_rate=1e-6, transforms=())
    found = draw(
        network, [LayerPath("down", 1)] * 2, [(0, 0), (0, 1)], settings=settings, init_images=photos
    )
    assert (found.images - photos).abs().mean() < 0.05
    thresholds = torch.tensor(
        [math.nan, 1e9], dtype=torch.float64
    )  # a try again begins at the row's own image
    again = draw(
        network,
        [LayerPath("down", 1)] * 2,
        [(0, 0), (0, 1)],
        settings=settings,
        thresholds=thresholds,
        init_images=photos,
    )
    assert (again.images - photos).abs().mean() < 0.05


class Upsampling(nn.Module):
    """Shows a network smaller images at its own size, as a user would by hand."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.size = network.module, network.shape[1:]

    def forward(self, x: Tensor) -> Tensor:
        larger = F.interpolate(x, size=self.size, mode="bilinear", align_corners=False)
        return self.network(larger)  # type: ignore[no-any-return]


def test_a_smaller_picture_is_optimized_and_measured_at_the_networks_own_size() -> None:
    network = tricky(size=16)
    around = Network(Upsampling(network), (3, 10, 10), MEAN, STD, dtype=torch.float64, fold=False)
    units = paths(network, ["logits:3", "down:2@3,3"])
    by_hand = [replace(unit, layer=f"network.{unit.layer}") for unit in units[1:]]
    small = PictureSettings((3, 10, 10), steps=12, transforms=(), input_size=(16, 16))
    found = solve(visualize_units(units, LIKE, small), network)
    expected = solve(
        visualize_units([units[0], *by_hand], LIKE, replace(small, input_size=None)), around
    )
    torch.testing.assert_close(found.images, expected.images, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.activation, expected.activation, rtol=0, atol=1e-9)
    shown = F.interpolate(found.images, size=(16, 16), mode="bilinear", align_corners=False)
    for row, unit in enumerate(units):
        score = unit_scores(network, shown[row : row + 1], unit)
        assert found.certificate.activation[row].item() == pytest.approx(score.item(), abs=1e-9)
        views = torch.cat([held_out_view(shown[row : row + 1], n) for n in range(HELD_OUT_VIEWS)])
        held_out = unit_scores(network, views, unit).mean()
        assert found.certificate.held_out[row].item() == pytest.approx(held_out.item(), abs=1e-9)
    assert found.certificate.size == (16, 16)
    assert torch.equal(found.certificate.appearance.clipped, appearance(shown).clipped)


def test_a_picture_as_large_as_the_input_or_larger_is_shown_as_it_is() -> None:
    assert PictureSettings((3, 16, 16), input_size=(16, 16)).shown_shape == (3, 16, 16)
    assert PictureSettings((3, 20, 20), input_size=(16, 30)).shown_shape == (3, 20, 20)
    assert PictureSettings((3, 12, 12), input_size=(16, 30)).shown_shape == (3, 16, 30)
    assert PictureSettings((3, 12, 12)).shown_shape == (3, 12, 12)
