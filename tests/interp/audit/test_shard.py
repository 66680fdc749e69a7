"""The audit of a shard against a linear network, whose robustness is known exactly, and against its
parts done by hand.
"""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.base import Method
from interp.attack.goal import Goal
from interp.audit.conditions import condition
from interp.audit.plan import MAGNITUDES
from interp.audit.shard import Plan, PlannedAttack, Threat, streams
from interp.corruption.augmentation import AUGMENTATIONS, augment
from interp.corruption.imagenet_c import corrupt
from interp.network.network import Network
from interp.probe import Procedure
from interp.seeds import Generators
from tests.interp.audit.toys_audit import FGSM, RANDOM, STEADY, THREATS, case, run
from tests.interp.toys_networks import Counting, linear

# A linear network with two classes and an image amid the box: fooled beyond margin / ||w||_q, 1/p +
# 1/q = 1, and not before.

NORMS = pytest.mark.parametrize(("p", "q"), [(math.inf, 1), (2, 2), (1, math.inf)])


def linear_pair(rows: int = 24) -> tuple[Network, Tensor, NDArray[np.float64], Tensor]:
    """A network, images, their margins (negative if they are taken for class 1, not 0), and the
    weights against class 0.
    """
    rng = torch.Generator().manual_seed(2)
    w = torch.randn(48, generator=rng, dtype=torch.float64)
    largest = w.abs().argsort(descending=True)[:12]
    w[largest] = (
        2 * w[largest].sign()
    )  # so that in L1 all ways along the pixels that FGSM takes, which tie, are the best
    w = w.where(w.abs() == 2, w.clamp(-1.5, 1.5))
    x = 0.4 + 0.2 * torch.rand(rows, 3, 4, 4, generator=rng, dtype=torch.float64)
    x = (x * 255).round() / 255
    against = x.flatten(1) @ w
    bias = against.sort().values[rows * 3 // 4] + 1e-3  # a quarter is wrong
    network = linear(
        torch.stack([torch.zeros_like(w), w]), torch.stack([bias, bias.new_zeros(())]), (3, 4, 4)
    )
    return network, x, (bias - against).numpy(), w


def between(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Epsilons amid the gaps between some of the critical ones."""
    rising = np.sort(values[values > 0])
    middles = (rising[1:] + rising[:-1]) / 2
    return tuple(middles[[1, 4, 5, 10]].tolist())


@NORMS
def test_the_curve_of_a_linear_network_is_the_exact_one(p: float, q: float) -> None:
    network, x, margins, w = linear_pair()
    critical = margins / torch.linalg.vector_norm(w, q).item()
    threat = Threat(p, between(critical))
    labels = torch.zeros(len(x), dtype=torch.long)
    judged = run(network, x, labels, Plan((threat,), (FGSM, STEADY), eight_bit=False))
    assert judged.clean.tolist() == (margins < 0).tolist()
    assert 0 < (margins < 0).sum() < len(x)
    for fooled_at in judged.fooled_at[0]:
        robust = [(fooled_at > level).tolist() for level in range(4)]
        assert robust == [(critical > epsilon).tolist() for epsilon in threat.epsilons]
    least = judged.least(0, labels.numpy())
    assert least.tolist() == [
        -1 if c < 0 else sum(c > e for e in threat.epsilons) for c in critical
    ]
    examples = judged.examples[0]
    assert examples.images.dtype == np.float32
    assert examples.row.tolist() == [row for row in range(len(x)) if 0 <= least[row] < 4]
    assert (examples.finder == 0).all()  # both are best, the first is named
    np.testing.assert_allclose(
        examples.norm, np.array(threat.epsilons)[examples.epsilon], rtol=1e-4
    )


def test_the_curve_of_8_bit_images_is_the_exact_one() -> None:
    network, x, margins, w = linear_pair()
    levels = (0.5, 1, 2, 5)
    threat = Threat(math.inf, tuple(level / 255 for level in levels))
    plan = Plan((threat,), (FGSM, STEADY))
    judged = run(
        network, x + 1e-4, torch.zeros(len(x), dtype=torch.long), plan
    )  # the audit rounds the images first
    weight = w.abs().sum().item() / 255
    expected = [[m > math.floor(level) * weight for m in margins] for level in levels]
    assert len({sum(row) for row in expected}) >= 3
    for fooled_at in judged.fooled_at[0]:
        assert [(fooled_at > level).tolist() for level in range(4)] == expected
    assert (judged.examples[0].norm * 255).round(9).tolist() == [
        math.floor(levels[e]) for e in judged.examples[0].epsilon
    ]


@NORMS
def test_the_noise_control_is_noise_in_the_ball(p: float, q: float) -> None:
    network, x, margins, w = linear_pair()
    epsilons = (0.02, 0.3) if p == math.inf else (0.5, 6.0) if p == 2 else (3.0, 60.0)
    for eight_bit in (False, True):
        plan = Plan((Threat(p, epsilons),), seed=3, eight_bit=eight_bit)
        judged = run(network, x, torch.zeros(len(x), dtype=torch.long), plan, first_row=7)
        for level, epsilon in enumerate(epsilons):
            rows = streams(3, f"{condition(p, epsilon)} noise", list(range(7, 7 + len(x))))
            ball = Ball(x, x.new_full((len(x), 1, 1, 1), epsilon), p, eight_bit=eight_bit)
            change = (ball.image(ball.noise(rows)) - x).flatten(1) @ w
            expected = (margins > 0) & (margins > change.numpy())
            assert judged.noise[0][level].tolist() == expected.tolist()
            assert level == 0 or 0 < expected.sum() < (margins > 0).sum()
        assert judged.fooled_at[0].shape == (0, len(x))
        assert judged.gradients == judged.queries == 0


def test_what_is_wrong_as_it_is_costs_nothing() -> None:
    network, x, labels = case(12)
    right = labels == network.logits(x).argmax(1)
    counting = Counting(network)
    judged = run(counting, x, labels, Plan(THREATS, (FGSM, RANDOM)))
    lone = run(network, x[right], labels[right], Plan(THREATS, (FGSM, RANDOM)))
    assert 0 < right.sum() < len(x)
    assert judged.gradients == sum(counting.gradients)
    assert max(len(probe.images) for probe in counting.probes[1:]) == right.sum()
    wrong = (~right).numpy()
    for number in range(2):
        assert (judged.fooled_at[number][:, wrong] == 0).all()
        assert not judged.noise[number][:, wrong].any()
        np.testing.assert_array_equal(
            judged.fooled_at[number][0, ~wrong], lone.fooled_at[number][0]
        )  # FGSM knows no chance
        assert not set(judged.examples[number].row) & set(np.flatnonzero(wrong))
    counting = Counting(network)
    run(counting, x, (network.logits(x).argmax(1) + 1) % 5, Plan(THREATS, (FGSM, RANDOM)))
    assert len(counting.probes) == 1


def test_curves_fall_and_survivors_alone_go_on() -> None:
    network, x, labels = case()
    counting = Counting(network)
    judged = run(counting, x, labels, Plan(THREATS[:1], (FGSM,)))
    fooled_at = judged.fooled_at[0][0]
    right = (judged.clean == labels.numpy()).sum()
    standing = [right, *[(fooled_at > level).sum() for level in range(3)]]
    assert standing == sorted(standing, reverse=True)
    assert counting.gradients == [count for count in standing[:3] if count]


@pytest.mark.parametrize("eight_bit", [True, False])
def test_examples_are_in_the_ball_and_fool_the_network(eight_bit: bool) -> None:
    network, x, labels = case(20)
    threats = (
        Threat(math.inf, (2 / 255, 4 / 255, 16 / 255)),
        Threat(2, (0.1, 0.3, 0.6)),
        Threat(1, (1.0, 3.0, 6.0)),
    )
    plan = Plan(threats, (RANDOM, FGSM), seed=1, eight_bit=eight_bit)
    judged = run(network, x, labels, plan, first_row=30)
    for number, (p, epsilons) in enumerate(threats):
        found, fooled_at = judged.examples[number], judged.fooled_at[number].astype(int)
        least = judged.least(number, labels.numpy())
        assert len(found.row) > 2
        np.testing.assert_array_equal(found.row - 30, np.flatnonzero((least >= 0) & (least < 3)))
        rows = found.row - 30
        np.testing.assert_array_equal(found.epsilon, least[rows])
        np.testing.assert_array_equal(found.finder, fooled_at[:, rows].argmin(0))
        stored = torch.from_numpy(found.images)
        z = stored.double() / 255 if eight_bit else stored.double()
        assert stored.dtype == (torch.uint8 if eight_bit else torch.float32)
        length = torch.linalg.vector_norm((z - x[rows]).flatten(1), p, dim=1)
        assert (length <= torch.tensor(epsilons)[found.epsilon] * (1 + 1e-6) + 1e-6).all()
        torch.testing.assert_close(torch.from_numpy(found.norm), length)
        prediction = network.logits(z).argmax(1).numpy()
        np.testing.assert_array_equal(prediction, found.prediction)
        assert (prediction != labels[rows].numpy()).all()
        assert z.min() >= 0
        assert z.max() <= 1


def elsewhere(move: float) -> Method:
    """An attack whose images lie `move` from x."""

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        yield from ()
        return AscentResult(ball.x + move, torch.ones(len(ball.x), dtype=torch.bool), None, 3, 4)

    return Method(search, "own")


def test_verdicts_are_those_of_the_images_that_are_kept() -> None:
    network = linear(torch.tensor([[0.0], [255.0]]), torch.tensor([100.4, 0.0]), (1, 1, 1))
    x, labels = torch.full((1, 1, 1, 1), 100 / 255, dtype=torch.float64), torch.tensor([0])
    for eight_bit, fooled in ((False, True), (True, False)):
        plan = Plan(
            (Threat(math.inf, (1 / 255,)),),
            (PlannedAttack("own", elsewhere(0.45 / 255)),),
            eight_bit=eight_bit,
        )
        judged = run(network, x, labels, plan)
        assert judged.fooled_at[0][0, 0] == (0 if fooled else 1)
        assert (judged.gradients, judged.queries) == (3, 4)


def test_an_attack_that_leaves_its_ball_is_found_out() -> None:
    network, x, _ = case(4)
    for move in (2 / 255, 1.01 / 255):
        plan = Plan(THREATS[:1], (PlannedAttack("own", elsewhere(move)),), eight_bit=False)
        with pytest.raises(RuntimeError, match=r"own left its ball: norm 0\.00.* at linf:1/255"):
            run(network, x * 0.5, network.logits(x * 0.5).argmax(1), plan)


@pytest.mark.parametrize("eight_bit", [True, False])
def test_corruptions_and_augmentations_are_those_done_by_hand(eight_bit: bool) -> None:
    network, x, _ = case(20)
    labels = network.logits(x).argmax(1)
    labels[:5] = (labels[:5] + 1) % 5  # of these too some may be right when they are changed
    names, severities = ("gaussian_noise", "contrast", "elastic_transform"), (2, 5)
    plan = Plan((), (), names, severities, tuple(AUGMENTATIONS), seed=9, eight_bit=eight_bit)
    counting = Counting(network)
    judged = run(counting, x, labels, plan, first_row=40)
    rows = list(range(40, 60))
    made = [
        corrupt(name, x, severity, streams(9, f"{name} {severity}", rows))
        for name in names
        for severity in severities
    ]
    made += [augment(name, x, MAGNITUDES[name], streams(9, name, rows)) for name in AUGMENTATIONS]
    found = np.concatenate([judged.corrupted, judged.augmented])
    assert found.shape == (6 + len(AUGMENTATIONS), 20)
    for right, changed, probe in zip(found, made, counting.probes[1:], strict=True):
        z = (changed * 255).round() / 255 if eight_bit else changed
        assert torch.equal(probe.images, z)
        assert right.tolist() == (network.logits(z).argmax(1) == labels).tolist()
    assert 0 < found.mean() < 1
    assert not any((judged.noise, judged.fooled_at, judged.examples))
