"""Goals of units: silenced, driven, dead, by every attack, against a plain forward pass; and what
each goal counts as reached.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from interp.attack.base import attack
from interp.attack.goal import (
    CROSS_ENTROPY,
    DLR,
    MARGIN,
    Goal,
    Targeted,
    UnitGoal,
    Untargeted,
    drive,
    silence,
)
from interp.attack.pgd import fgsm, pgd
from interp.layer import LayerPath
from interp.network.architectures import CifarTwin
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Answer, solve
from tests.interp.toys_networks import Counting, cifar, images, plain, raw, tricky

WEIGHTS = Path(__file__).parents[3] / "service" / "models" / "weights"
UNITS = ["stem.1:2", "twice:5@3,4", "norm:7", "stem.2:1@0,0", "logits:3"]
EPSILON = {math.inf: 0.1, 2.0: 1.0, 1.0: 12.0}
AIMS = {"silence": silence, "drive": drive}


def unit_of(network: Network, text: str, rows: int) -> Any:
    return activation([LayerPath.parse(text, network.layers)] * rows)


def by_hand(network: Network, x: Tensor, text: str) -> Tensor:
    """The activation of a unit of `tricky`, from its definition."""
    path = LayerPath.parse(text, network.layers)
    values = plain(raw(network), x)[path.layer][:, path.unit]
    if path.position:
        return values[:, path.position[0], path.position[1]]
    return values.reshape(len(x), -1).mean(1)


def wanted(clean: Tensor, aim: str, level: float | None) -> Tensor:
    """The level to pass, from the words of the contract; of what is negative, the side that is
    further on.
    """
    if level is not None:
        return torch.full_like(clean, level)
    if aim == "drive":
        return torch.where(clean > 0, 2 * clean, 0 * clean)
    return torch.where(clean > 0, 0.1 * clean, 1.9 * clean)


@pytest.mark.parametrize("text", UNITS)
@pytest.mark.parametrize("aim", AIMS)
@pytest.mark.parametrize("p", EPSILON)
def test_units_are_silenced_and_driven(p: float, aim: str, text: str) -> None:
    network, x = tricky(), images(6)
    objective, clean = unit_of(network, text, 6), by_hand(network, x, text)
    for level in (None, float(clean.sort()[0][2:4].mean())):
        counting = Counting(network)
        method = pgd(steps=25, random_start=False)
        found = solve(
            attack(
                x,
                None,
                method,
                epsilon=EPSILON[p],
                p=p,
                unit=(objective, partial(AIMS[aim], level=level)),
                noise_control=True,
            ),
            counting,
        )
        assert found.clean_activation is not None
        assert found.activation is not None
        torch.testing.assert_close(found.clean_activation, clean, rtol=1e-9, atol=1e-12)
        now = by_hand(network, found.images, text)
        torch.testing.assert_close(found.activation, now, rtol=1e-9, atol=1e-12)
        bar = wanted(clean, aim, level)
        assert torch.equal(found.succeeded, now > bar if aim == "drive" else now <= bar)
        assert (found.norm <= EPSILON[p] * (1 + 1e-9)).all()
        at_once = clean > bar if aim == "drive" else clean <= bar
        assert not found.norm[at_once].any()
        assert found.gradients == sum(counting.gradients)
        assert torch.equal(found.prediction, plain(raw(network), found.images)["logits"].argmax(1))
        assert torch.equal(found.label, plain(raw(network), x)["logits"].argmax(1))
        assert found.control is not None
        assert found.control.succeeded.sum() <= found.succeeded.sum()
    assert at_once.sum() == 3
    assert found.succeeded.sum() > 3  # the level is one that others have, and epsilon is large


def test_every_row_may_attack_a_unit_of_its_own() -> None:
    network, x = tricky(), images(len(UNITS))
    objective = activation([LayerPath.parse(text, network.layers) for text in UNITS])
    together = solve(
        attack(x, None, pgd(steps=15), epsilon=0.1, unit=(objective, silence), seed=3), network
    )
    for row, text in enumerate(UNITS):
        one = x[row : row + 1]
        alone = solve(
            attack(
                one,
                None,
                pgd(steps=15),
                epsilon=0.1,
                unit=(unit_of(network, text, 1), silence),
                seed=3,
                first_row=row,
            ),
            network,
        )
        torch.testing.assert_close(alone.images[0], together.images[row], rtol=0, atol=1e-9)
        assert alone.succeeded[0] == together.succeeded[row]


@pytest.mark.parametrize("text", ["stem.2:0", "stem.2:0@2,2"])
def test_a_dead_unit_is_silent_already_and_cannot_be_driven(text: str) -> None:
    network, x = tricky(), images(4)
    with torch.no_grad():
        raw(network).stem.get_parameter("1.bias")[0] = -100.0
    objective = unit_of(network, text, 4)
    found = solve(attack(x, None, pgd(steps=3), epsilon=0.1, unit=(objective, silence)), network)
    assert found.succeeded.all()
    assert found.gradients == 0
    assert not found.norm.any()
    assert found.warnings == ()
    found = solve(attack(x, None, pgd(steps=3), epsilon=0.1, unit=(objective, drive)), network)
    assert not found.succeeded.any()
    assert found.activation is not None
    assert not found.activation.any()
    (warning,) = found.warnings
    assert "zero for 4 of 4" in warning


@pytest.mark.parametrize("aim", AIMS)
def test_one_step_goes_straight_for_the_unit(aim: str) -> None:
    network, x, text = tricky(), images(5), "twice:3"
    found = solve(
        attack(x, None, fgsm(), epsilon=0.01, unit=(unit_of(network, text, 5), AIMS[aim])), network
    )
    point = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(by_hand(network, point, text).sum(), point)
    expected = (x + (0.01 if aim == "drive" else -0.01) * slope.sign()).clamp(0, 1)
    torch.testing.assert_close(found.images, expected, rtol=0, atol=1e-12)


def plain_cifar(dtype: torch.dtype = torch.float32) -> Network:
    """cifar10-plain, whose first layers are read by a plain loop below."""
    module = CifarTwin()
    module.load_state_dict(load_file(WEIGHTS / "cifar10-plain.safetensors"))
    return Network(
        module, (3, 32, 32), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), dtype=dtype
    )


@pytest.mark.parametrize("eight_bit", [False, True])
@pytest.mark.parametrize("aim", AIMS)
def test_units_of_a_trained_network(aim: str, eight_bit: bool) -> None:
    network, (x, labels) = plain_cifar(), cifar(6)
    module = network.module
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1)
        for v in ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    )

    def layer1(pixels: Tensor) -> Tensor:
        part = module.pool(module.relu(module.bn1(module.conv1((pixels - mean) / std))))  # type: ignore[operator]
        return module.layer1(part)[:, 20].mean((1, 2))  # type: ignore[operator, no-any-return]

    clean = layer1(x)
    for level in (None, float(clean.median()) * (1.3 if aim == "drive" else 0.7)):
        method = pgd(steps=20)
        unit = (unit_of(network, "layer1:20", 6), partial(AIMS[aim], level=level))
        found = solve(
            attack(x, labels, method, epsilon=8 / 255, unit=unit, eight_bit=eight_bit), network
        )
        assert found.activation is not None
        torch.testing.assert_close(found.activation, layer1(found.images), rtol=1e-4, atol=1e-5)
        bar = wanted(clean, aim, level)
        apart = (found.activation - bar).abs() > 1e-5
        expected = layer1(found.images) > bar if aim == "drive" else layer1(found.images) <= bar
        assert torch.equal(found.succeeded[apart], expected[apart])
        assert found.succeeded.any()
        assert torch.equal(found.label, labels)
        assert found.target is None


# What counts as reached


def answer(logits: list[list[float]], score: list[float]) -> Answer:
    return Answer(torch.tensor(score), None, torch.tensor(logits))


def test_goals_are_reached_by_their_own_measure() -> None:
    seen = answer([[3, 1, 2], [1, 3, 2], [1, 2, 3]], [0.5, 1.0, 1.5])
    zeros, one = torch.zeros(3, dtype=torch.long), torch.ones(3)
    nothing = activation([LayerPath("conv", 0)] * 3)
    goals: list[tuple[Goal, list[bool]]] = [
        (Untargeted(zeros), [False, True, True]),
        (Targeted(zeros, zeros + 2), [False, False, True]),
        (
            UnitGoal(nothing, 1.0, one),
            [False, False, True],
        ),  # activations of 0.5, 1 and 1.5: above 1
        (
            UnitGoal(nothing, -1.0, -one),
            [False, True, True],
        ),  # the score is minus the activation, -0.5, -1 and -1.5: at most -1
    ]
    for goal, there in goals:
        assert goal.reached(seen).tolist() == there


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, MARGIN, DLR], ids=lambda loss: loss.name)
def test_choices_of_rows_keep_what_is_theirs(loss: Any) -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    labels, targets, chosen = (
        torch.arange(6) % 5,
        (torch.arange(6) + 2) % 5,
        torch.tensor([4, 1, 5]),
    )
    goals: list[Goal] = [Untargeted(labels), Targeted(labels, targets)]
    for goal in goals:
        whole = goal.objective(loss)({"logits": logits})
        part = goal.take(chosen).objective(loss)({"logits": logits[chosen]})
        assert torch.equal(whole[chosen], part)
        there = goal.reached(Answer(whole, None, logits))
        assert torch.equal(
            there[chosen], goal.take(chosen).reached(Answer(part, None, logits[chosen]))
        )
