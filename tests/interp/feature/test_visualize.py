"""Feature visualization: it climbs, it repeats, and no picture depends on its neighbours."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp.feature.params.fourier import Fourier
from interp.feature.settings import PictureSettings
from interp.feature.visualize import VisualizationResult, visualize, visualize_units
from interp.layer import LayerPath
from interp.network.architectures import LeNet5
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe, Progress, solve
from interp.seeds import generators
from tests.interp.toys_networks import Counting, cifar, images, trained_resnet, tricky

LIKE = torch.zeros((), dtype=torch.float64)
UNITS = ("stem.2:1", "down:2@3,3", "logits:0", "twice", "head:4", "stem.0:1@0,7")


def paths(network: Network, texts: tuple[str, ...] | list[str]) -> list[LayerPath]:
    return [LayerPath.parse(text, network.layers) for text in texts]


def draw(
    network: Network | Counting,
    units: list[LayerPath],
    size: int = 12,
    steps: int = 40,
    **options: Any,
) -> VisualizationResult:
    settings = PictureSettings((3, size, size), steps, **options)
    return solve(visualize_units(units, LIKE, settings), network)


def scores(network: Network, x: Tensor, path: LayerPath) -> Tensor:
    """The activation of one unit on every one of these images."""
    (answer,) = network.answer([Probe(x, activation([path] * len(x)), gradient=False)])
    assert answer.score is not None
    return answer.score


@pytest.mark.parametrize("unit", UNITS)
def test_a_picture_excites_its_unit_far_more_than_its_start_and_random_images(unit: str) -> None:
    network = tricky(size=12)
    (path,) = paths(network, [unit])
    found = draw(network, [path], steps=120)
    space = Fourier((3, 12, 12), LIKE)
    start = scores(network, space.image(space.start(generators(0, 0, 50))), path)
    noise = scores(network, images(300, 12), path)
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
        assert reached > scores(network, photographs, path).max()


def test_the_activation_is_that_of_the_picture_returned_without_transforms() -> None:
    network = tricky(size=12)
    units = paths(network, UNITS)
    found = draw(network, units, steps=5)
    for row, path in enumerate(units):
        torch.testing.assert_close(
            found.activation[row],
            scores(network, found.images[row : row + 1], path)[0],
            rtol=0,
            atol=1e-12,
        )


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    network = tricky(size=12)
    units = paths(network, UNITS[:2])
    first, again, other = (draw(network, units, steps=10, seed=seed) for seed in (3, 3, 4))
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
    mixed = draw(network, units)
    for row, path in enumerate(units):
        separate = draw(network, [path] * (row + 1))  # row i draws from (seed, i)
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
        assert found.activation[row] > scores(network, images(100, 32, channels=1), path).max()


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
    found = draw(network, paths(network, ["relu:0", "relu:1", "relu:2"]), size=8, steps=100)
    assert found.dead.tolist() == [False, False, True]
    assert found.activation[0] > 0.3
    assert found.activation[1] > 0.05
    assert found.activation[2] == 0


@pytest.mark.parametrize("size", [12, 20])
def test_progress_counts_the_steps_and_previews_are_the_running_pictures(size: int) -> None:
    counting = Counting(tricky(size=12))
    found = draw(
        counting,
        [LayerPath("down", 1), LayerPath("stem", 2)],
        size=size,
        steps=6,
        transforms=(),
    )
    told = [p.progress for p in counting.probes if p.progress is not None]
    assert all(isinstance(p, Progress) for p in told)
    assert [(p.step, p.steps) for p in told] == [(step, 6) for step in range(1, 7)]
    assert torch.equal(told[-1].preview(), found.images)
    assert found.images.shape == (2, 3, size, size)
    assert [len(p.images) for p in counting.probes] == [2] * 6 + [
        16,
        16,
        2,
        2,
    ]  # then the pictures with 16 views of each, and their layers
    assert not any(p.differentiates for p in counting.probes[6:])
