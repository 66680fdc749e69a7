"""Jobs of every kind on a small real network, and the comparison of their results."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from interp.attack.base import attack
from interp.attack.evaluate import AdversarialExamples
from interp.attack.pgd import fgsm, pgd
from interp.feature.settings import PictureSettings
from interp.feature.visualize import VisualizationResult, visualize_units
from interp.layer import LayerPath
from interp.probe import Probe, Procedure
from tests.interp.toys_networks import images, tricky

LIKE = torch.zeros((), dtype=torch.float64)


def predict(rows: int, seed: int) -> Procedure[Tensor]:
    answer = yield Probe(images(rows, seed=seed), logits=True, layers=("act",))
    assert answer.logits is not None
    return torch.cat([answer.logits.flatten(), answer.activations["act"].flatten()])


def looks(*texts: str) -> Procedure[VisualizationResult]:
    paths = [LayerPath.parse(t, tricky().layers) for t in texts]
    return visualize_units(paths, LIKE, PictureSettings((3, 8, 8), steps=8))


JOBS: list[Callable[[], Procedure[Any]]] = [
    lambda: attack(images(5, seed=1), None, pgd(steps=6), epsilon=0.03, seed=1, noise_control=True),
    lambda: attack(
        images(3, seed=2),
        torch.tensor([0, 1, 2]),
        pgd(steps=9, stop_when_fooled=False),
        epsilon=0.4,
        p=2,
    ),
    lambda: attack(
        images(2, seed=3),
        torch.tensor([0, 1]),
        fgsm(),
        epsilon=0.02,
        targets=torch.tensor([3, 3]),
        eight_bit=True,
    ),
    lambda: predict(4, 4),
    lambda: predict(1, 5),
    lambda: looks("down:3", "stem.0:1@2,2", "logits:1"),
    lambda: looks("twice"),
    lambda: attack(images(11, seed=6), None, pgd(steps=3), epsilon=0.01),
]


def values(result: Any) -> list[Tensor]:
    if isinstance(result, AdversarialExamples):
        return [result.images, result.prediction.double(), result.succeeded.double(), result.norm]
    return (
        [result.images, result.activation] if isinstance(result, VisualizationResult) else [result]
    )


def same(result: Any, expected: Any) -> None:
    for one, other in zip(values(result), values(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
