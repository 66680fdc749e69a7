"""The claim behind `deterministic`: in float32, the bytes of a result do not depend on what else
runs.
"""

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.attack.base import attack
from interp.attack.evaluate import AdversarialExamples
from interp.attack.pgd import fgsm, pgd
from interp.feature.settings import PictureSettings
from interp.feature.visualize import visualize_units
from interp.layer import LayerPath
from interp.network.architectures import CifarResNet
from interp.network.network import Network
from interp.probe import Procedure
from service.engine.job import Priority
from tests.interp.toys_networks import cifar, images, trained_resnet
from tests.service.engine.toys_engine import WAIT, Model, held, running

Job = Callable[[], Procedure[Any]]


class Odd(nn.Module):
    """A head of 257 features, so that its rows start at odd places in memory; and a channel that
    begins shut.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc1, self.fc2 = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Linear(8 * 64, 257),
            nn.Linear(257, 10),
        )
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.conv.bias[5] = -1  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(self.relu(self.conv(x)).flatten(1))))  # type: ignore[no-any-return]


def hosted(module: Callable[[], nn.Module], size: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(module(), (3, size, size), [0.5] * 3, [0.1] * 3)


def attacks(x: Tensor, steps: int) -> list[Job]:
    """Attacks of several kinds on rows of x, one or many."""
    methods = [
        (pgd(steps=steps), 2 / 255, math.inf),
        (pgd(steps=steps), 0.2, 2),
        (pgd(steps=steps, stop_when_fooled=False), 1 / 255, math.inf),
        (fgsm(), 4 / 255, math.inf),
    ]
    parts = [(0, 1), (1, 2), (2, 5), (5, 10), (10, 19), (19, 20), (20, 24)]
    jobs: list[Job] = []
    for number, (low, high) in enumerate(parts):
        options: dict[str, Any] = {
            "seed": number,
            "first_row": low,
            "eight_bit": number % 3 == 2,
            "noise_control": number % 2 == 1,
        }
        method, epsilon, p = methods[(number + 1) % 4]
        jobs.append(partial(attack, x[low:high], None, method, epsilon=epsilon, p=p, **options))
    return jobs


def pictures(units: list[str]) -> Job:
    paths = [LayerPath.parse(unit, ["conv", "relu", "fc1"]) for unit in units]
    return lambda: visualize_units(paths, torch.zeros(()), PictureSettings((3, 8, 8), steps=6))


def contents(result: Any) -> list[Tensor]:
    if isinstance(result, AdversarialExamples):
        control = [] if result.control is None else [result.control.prediction, result.control.norm]
        return [result.images, result.prediction, result.clean_prediction, result.norm, *control]
    return [result.images, result.activation, result.dead]


def same_bytes(one: Any, other: Any) -> bool:
    return all(
        a.numpy().tobytes() == b.numpy().tobytes()
        for a, b in zip(contents(one), contents(other), strict=True)
    )


def check(network: Network, jobs: list[Job], batchings: int) -> None:
    """Run each job alone, then in so many random companies, and compare bytes."""
    model, rng = Model(network), random.Random(0)
    with running(chunk=4) as engine:
        alone = [engine.submit(model, job(), deterministic=True).result(WAIT) for job in jobs]
    assert len({r.images.numpy().tobytes() for r in alone}) == len(jobs)
    for number in range(batchings):
        order = [rng.randrange(len(jobs)) for _ in range(rng.randint(2, 6))]
        with running(chunk=4, tick_rows=rng.choice([1, 6, 13, 64])) as engine:
            with held(engine):
                futures = []
                for chosen in order:
                    priority = rng.choice(list(Priority))
                    futures.append(
                        (
                            chosen,
                            engine.submit(
                                model, jobs[chosen](), deterministic=True, priority=priority
                            ),
                        )
                    )
                    if rng.random() < 0.3:  # and some that do not mind
                        engine.submit(model, rng.choice(jobs)())
            for chosen, future in futures:
                assert same_bytes(future.result(WAIT), alone[chosen]), (
                    f"job {chosen} in batching {number}"
                )


@pytest.mark.timeout(120)
def test_attacks_on_a_residual_network() -> None:
    check(hosted(lambda: CifarResNet(8), 8), attacks(images(24, 8, torch.float32), steps=3), 30)


@pytest.mark.timeout(120)
def test_attacks_and_pictures_of_a_network_whose_rows_are_not_aligned() -> None:
    jobs = attacks(images(24, 8, torch.float32), steps=4)
    drawn = [["conv:1"], ["relu:5", "relu:1"], ["fc1:3", "relu:5", "conv:2@3,3", "relu", "fc1:128"]]
    check(hosted(Odd, 8), jobs + [pictures(units) for units in drawn], 30)


@pytest.mark.timeout(120)
def test_attacks_on_a_trained_network() -> None:
    x, _ = cifar(24)
    check(trained_resnet(), attacks(x, steps=3)[:4], 3)


def test_the_same_jobs_do_differ_where_bytes_are_not_asked_for() -> None:
    """Otherwise the tests above would prove nothing about chunks."""
    network = hosted(Odd, 8)
    x = images(24, 8, torch.float32)
    method = pgd(step=0.3, steps=1, random_start=False, keep_best=False)

    def job() -> Procedure[AdversarialExamples]:
        return attack(x[:1], None, method, epsilon=1.0, p=2)

    with running() as engine:
        alone = engine.submit(Model(network), job()).result(WAIT)
        differences = 0
        for rows in range(1, 24):
            with held(engine):
                engine.submit(Model(network), attack(x[:rows], None, fgsm(), epsilon=0.1))
                future = engine.submit(Model(network), job())
            differences += not same_bytes(future.result(WAIT), alone)
    assert differences > 0
