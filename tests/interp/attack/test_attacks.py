"""Every attack by name, with what it must reach: on a linear network, whose nearest boundary is
known exactly, on images that are not to be changed by more than epsilon, and on a trained network.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from interp.attack.apgd import apgd, apgd_t
from interp.attack.base import Method, attack
from interp.attack.fab import fab
from interp.attack.goal import MARGIN
from interp.attack.pgd import fgsm, pgd
from interp.attack.registry import ATTACKS
from interp.attack.square import square
from interp.network.network import Network
from interp.norms import norm
from interp.probe import solve
from tests.interp.attack.test_apgd_ascent import digits
from tests.interp.toys_networks import images, linear, tricky

DUAL = {math.inf: 1.0, 2.0: 2.0, 1.0: math.inf}
RADIUS = {math.inf: 0.03, 2.0: 0.3, 1.0: 2.0}  # on random images
DIGITS = {math.inf: 0.15, 2.0: 2.5, 1.0: 25.0}  # on digits, at which the strongest fool most


class Reach(NamedTuple):
    """What an attack must reach.

    Attributes:
        method: the attack.
        linear: by norm, from how many times a linear network's exact distance to the boundary on
            it must find the boundary; a norm that is not named is one in which it falls short.
        trained: by norm, of digits that a trained network recognizes, the share that it must fool.
    """

    method: Method
    linear: dict[float, float]
    trained: dict[float, float]


LINF, L2, L1 = math.inf, 2.0, 1.0
TABLE = {
    "fgsm": Reach(fgsm(), {LINF: 1.001, L2: 1.001, L1: 1.02}, {LINF: 0.5, L2: 0.3, L1: 0.15}),
    "pgd": Reach(pgd(), {LINF: 1.001, L2: 1.06, L1: 1.02}, {LINF: 0.8, L2: 0.65, L1: 0.6}),
    "pgd-momentum": Reach(
        pgd(decay=1.0, random_start=False),
        {LINF: 1.001, L2: 1.001, L1: 1.02},
        {LINF: 0.7, L2: 0.6, L1: 0.55},
    ),
    "apgd": Reach(
        apgd(steps=40), {LINF: 1.001, L2: 1.001, L1: 1.002}, {LINF: 0.8, L2: 0.65, L1: 0.75}
    ),
    "apgd-margin": Reach(
        apgd(steps=40, loss=MARGIN),
        {LINF: 1.001, L2: 1.001, L1: 1.002},
        {LINF: 0.7, L2: 0.6, L1: 0.7},
    ),
    "apgd-t": Reach(
        apgd_t(steps=20, target_classes=3),
        {LINF: 1.001, L2: 1.001, L1: 1.002},
        {LINF: 0.8, L2: 0.7, L1: 0.8},
    ),
    "fab": Reach(
        fab(steps=30, target_classes=3),
        {LINF: 1.001, L2: 1.001, L1: 1.001},
        {LINF: 0.8, L2: 0.7, L1: 0.7},
    ),
    "square": Reach(
        square(queries=400), {LINF: 1.02, L2: 2.2, L1: 2.2}, {LINF: 0.6, L2: 0.15, L1: 0.0}
    ),
    # its four attacks are those above; that each takes the survivors of the last: test_autoattack
    "auto_attack": Reach(ATTACKS["auto_attack"](), {LINF: 1.001, L2: 1.001, L1: 1.001}, {}),
}


def cases(what: str) -> Iterator[tuple[str, float]]:
    """(attack, norm) for every entry of a column of the table."""
    for name, reach in TABLE.items():
        for p in getattr(reach, what):
            yield name, p


def test_the_table_has_every_attack_of_the_registry() -> None:
    assert TABLE.keys() >= ATTACKS.keys()


def linear_case(p: float) -> tuple[Network, Tensor, Tensor]:
    """A linear network of two classes, images of class 0 amid the box, and how far each is from the
    boundary.
    """
    rng = torch.Generator().manual_seed(1)
    weight = torch.randn(2, 48, generator=rng, dtype=torch.float64)
    x = 0.4 + 0.2 * torch.rand(4, 3, 4, 4, generator=rng, dtype=torch.float64)
    w = weight[1] - weight[0]
    bias = 0.3 + (x.flatten(1) @ w).max()
    network = linear(weight, torch.stack([bias, bias.new_zeros(())]), (3, 4, 4))
    return network, x, (bias - x.flatten(1) @ w) / w.norm(DUAL[p])


@pytest.mark.parametrize(("name", "p"), cases("linear"))
def test_a_linear_network_is_fooled_from_its_exact_distance_on(name: str, p: float) -> None:
    network, x, distance = linear_case(p)
    labels, reach = torch.zeros(4, dtype=torch.long), TABLE[name]
    short = solve(attack(x, labels, reach.method, epsilon=0.999 * distance, p=p), network)
    assert not short.succeeded.any()
    enough = solve(
        attack(x, labels, reach.method, epsilon=reach.linear[p] * distance, p=p), network
    )
    assert enough.succeeded.all()


@pytest.mark.parametrize("p", DUAL)
@pytest.mark.parametrize("name", [name for name in TABLE if name != "auto_attack"])
@pytest.mark.parametrize("eight_bit", [False, True])
def test_no_image_leaves_its_ball_or_the_box(name: str, p: float, eight_bit: bool) -> None:
    network, x = tricky(), images(5)
    found = solve(
        attack(x, None, TABLE[name].method, epsilon=RADIUS[p], p=p, eight_bit=eight_bit), network
    )
    centre = (x * 255).round() / 255 if eight_bit else x
    assert (norm(found.images - centre, p) <= RADIUS[p] * (1 + 1e-9)).all()
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    if eight_bit:
        levels = found.images * 255
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-9)
    assert torch.equal(found.succeeded, network.logits(found.images).argmax(1) != found.label)


@pytest.mark.parametrize(("name", "p"), cases("trained"))
def test_a_trained_network_is_fooled_as_often_as_the_attack_promises(name: str, p: float) -> None:
    network, x, labels = digits(48)
    found = solve(attack(x, labels, TABLE[name].method, epsilon=DIGITS[p], p=p), network)
    assert found.succeeded.float().mean() >= TABLE[name].trained[p]
