"""What the tests of feature visualization share: a unit that begins shut, pictures of units, and
images with their spectra.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from interp.feature.params.base import Parameterization
from interp.feature.params.fourier import Fourier
from interp.feature.params.spectrum import Spectrum
from interp.feature.retries import restart_seed
from interp.feature.settings import PictureSettings
from interp.feature.visualize import VisualizationResult, visualize
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import Objective, activation
from interp.probe import Probe, solve
from interp.seeds import generators
from tests.interp.toys_networks import Counting, images

LIKE = torch.zeros((), dtype=torch.float64)


QUICK = PictureSettings((3, 8, 8), steps=8, learning_rate=0.1)


class Gated(nn.Module):
    """Unit 0 is the mean of red where that is above a half, else 0, with no gradient whatever one
    does; unit 1 is the mean of green.
    """

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        red, green = x[:, 0].mean((1, 2)), x[:, 1].mean((1, 2))
        return self.units(torch.stack([red * (red > 0.5), green], 1))  # type: ignore[no-any-return]


def gated() -> Network:
    return Network(Gated(), (3, 8, 8), [0.0] * 3, [1.0] * 3, dtype=torch.float64)


def starts_open(seed: int) -> bool:
    """Whether the first picture of row 0 lets unit 0 live."""
    space = Fourier((3, 8, 8), LIKE)
    return space.image(space.start(generators(seed, 0, 1)))[0, 0].mean().item() > 0.5


def seed_of(*opens: bool) -> int:
    """The first seed whose optimizations begin open or shut as said."""
    return next(
        seed
        for seed in range(1000)
        if [starts_open(restart_seed(seed, n)) for n in range(len(opens))] == list(opens)
    )


def draw(
    network: Network | Counting,
    units: Sequence[LayerPath],
    rows: Sequence[tuple[int, int]],
    **options: Any,
) -> VisualizationResult:
    changed = {name: options.pop(name) for name in ("retries", "further_seeds") if name in options}
    settings = replace(options.pop("settings", QUICK), **changed)
    return solve(
        visualize(activation(units), rows, LIKE, settings, units=units, **options), network
    )


def scores(network: Network, x: Tensor, objective: Objective) -> Tensor:
    (answer,) = network.answer([Probe(x, objective, gradient=False)])
    assert answer.score is not None
    return answer.score


def rectangle(rows: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Random images (rows, *shape)."""
    return images(rows, max(shape[1:]), channels=shape[0], seed=seed)[
        :, :, : shape[1], : shape[2]
    ].contiguous()


def magnitude(shape: tuple[int, int, int]) -> Tensor:
    spectrum = Spectrum(shape)
    spectrum.update(rectangle(5, shape, seed=9))
    return spectrum.magnitude


def moved(space: Parameterization, rows: int, seed: int = 0) -> Tensor:
    """z away from the start."""
    z = space.start(generators(seed, 0, rows))
    return z + 0.3 * torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
