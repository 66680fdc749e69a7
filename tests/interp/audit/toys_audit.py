"""What the tests of the audit share: attacks, a plan, images that fall early, late and never."""

import math

import numpy as np
import torch
from torch import Tensor

from interp.attack.pgd import fgsm, pgd
from interp.audit.shard import Plan, PlannedAttack, ShardResult, Threat, audit_shard
from interp.network.network import Network
from interp.probe import Oracle, solve
from tests.interp.toys_networks import images, tricky

FGSM = PlannedAttack("FGSM", fgsm())
STEADY = PlannedAttack("PGD-10", pgd(steps=10, random_start=False))
RANDOM = PlannedAttack("PGD-3", pgd(steps=3))
THREATS = (Threat(math.inf, (1 / 255, 2 / 255, 4 / 255)), Threat(2, (0.05, 0.1, 0.2)))


def run(network: Oracle, x: Tensor, labels: Tensor, plan: Plan, first_row: int = 0) -> ShardResult:
    return solve(audit_shard(x, labels, plan, first_row), network)


# A network of many habits, images of which some are wrong from the start, some fall early, some
# late and some never.


def case(rows: int = 16) -> tuple[Network, Tensor, Tensor]:
    network, x = tricky(), images(rows)
    x = (x * 255).round() / 255
    labels = network.logits(x).argsort(1)[torch.arange(rows), [4] * (rows - 3) + [3] * 3]
    return network, x, labels


WHOLE = Plan(
    THREATS, (FGSM, RANDOM), ("fog", "impulse_noise"), (1, 4), ("rotation", "noise"), seed=5
)


def equal(a: ShardResult, b: ShardResult) -> None:
    ours, theirs = a.arrays(), b.arrays()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        np.testing.assert_array_equal(array, theirs[name], name)
