"""The curve finished by FAB, against the exact minimal epsilons of linear networks in the box."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from interp.attack.ball import Ball, radii
from interp.attack.epsilon_curve import EpsilonCurve, epsilon_curve
from interp.attack.fab_nearer import fab_nearer
from interp.attack.goal import Untargeted, silence
from interp.layer import LayerPath
from interp.network.network import Network
from interp.norms import norm
from interp.objective import activation
from interp.probe import solve
from tests.interp.attack.toys_unanswered import NanGradient, hosted, pictures
from tests.interp.toys_networks import images, linear, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
ROWS = 8
EPSILON = {math.inf: 0.05, 2.0: 0.5, 1.0: 7.0}


def largest_gain(weight: Tensor, room: Tensor, eps: float, p: float) -> float:
    """The most that weight . d comes to with |d| in the ball and in the room that the box leaves,
    all (n,) and at least 0: all pixels grow alike (Linf), as their weights (L2), or those of the
    largest weights first (L1).
    """
    if p == math.inf:
        return float(weight @ room.clamp_max(eps))
    if p == 1:
        order = weight.argsort(descending=True)
        before = room[order].cumsum(0) - room[order]
        return float(weight[order] @ (eps - before).clamp_min(0).minimum(room[order]))
    t = last_inside(lambda t: float((t * weight).minimum(room).norm()) <= eps, 1e4)
    return float(weight @ (t * weight).minimum(room))


def last_inside(inside: Callable[[float], bool], high: float) -> float:
    """The largest number for which `inside` holds, by bisection."""
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return low


def exact_minimal(weight: Tensor, x: Tensor, label: int, p: float) -> float:
    """The least epsilon at which some other class of a linear network without biases leads."""
    return min(
        exact_towards(weight[other] - weight[label], x.flatten(), p)
        for other in range(len(weight))
        if other != label
    )


def exact_towards(way: Tensor, x: Tensor, p: float) -> float:
    """The least epsilon at which x + d, in the box, has way . (x + d) > 0."""
    room = torch.where(way > 0, 1 - x, x)
    lag = -float(x @ way)
    return last_inside(lambda eps: largest_gain(way.abs(), room, eps, p) < lag, float(len(x)))


def ten_classes() -> tuple[Network, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(10, 3 * 8 * 8, generator=rng, dtype=torch.float64)
    x = torch.rand(ROWS, 3, 8, 8, generator=rng, dtype=torch.float64)
    network = linear(weight, torch.zeros(10, dtype=torch.float64), (3, 8, 8))
    return network, x, network.logits(x).argmax(1), weight


def run(network: Network, x: Tensor, p: float, top: float, **options: int | bool) -> EpsilonCurve:
    grid = [top * k / 4 for k in range(1, 5)]
    return solve(epsilon_curve(x, None, grid, p, steps=5, **options), network)  # type: ignore[arg-type]


@norms
def test_on_linear_networks_of_ten_classes_minimal_epsilons_are_exact_within_a_hundredth(
    p: float,
) -> None:
    network, x, labels, weight = ten_classes()
    exact = torch.tensor(
        [exact_minimal(weight, one, int(label), p) for one, label in zip(x, labels, strict=True)],
        dtype=torch.float64,
    )
    top = 1.2 * float(exact.max())
    coarse, fine = run(network, x, p, top), run(network, x, p, top, fab_steps=10)
    ratio = fine.minimal / exact
    assert (ratio > 1 - 1e-9).all()
    assert ratio.median() < 1.01
    assert (coarse.minimal / exact).median() > 1.05
    found = fine.attacked
    assert found.succeeded.all()
    assert torch.equal(found.prediction, network.logits(found.images).argmax(1))
    torch.testing.assert_close(norm(found.images - x, p).flatten(), fine.minimal)
    assert fine.withstood.tolist() == [int((fine.minimal > e).sum()) for e in fine.epsilons]
    # 10 of FAB a row and wrong class, for the rows of no minimal epsilon yet and for all others
    assert found.gradients == coarse.attacked.gradients + ROWS * 9 * 10


@norms
@pytest.mark.parametrize("eight_bit", [False, True])
def test_no_minimal_epsilon_is_larger_than_before_and_all_are_true(
    p: float, eight_bit: bool
) -> None:
    network, x = tricky(), (images(16) * 255).round() / 255
    before = run(network, x, p, EPSILON[p], eight_bit=eight_bit)
    after = run(network, x, p, EPSILON[p], eight_bit=eight_bit, fab_steps=8)
    assert (after.minimal <= before.minimal).all()
    assert (after.minimal < before.minimal).any()
    assert (after.withstood <= before.withstood).all()
    found, there = after.attacked, after.minimal.isfinite()
    assert torch.equal(found.succeeded, there)
    clean = network.logits(x).argmax(1)
    assert torch.equal(network.logits(found.images).argmax(1) != clean, there)
    size = norm(found.images - x, p).flatten()
    assert (size[there] <= after.minimal[there] * (1 + 1e-9) + 1e-12).all()
    assert (after.minimal[there] <= EPSILON[p]).all()
    if eight_bit:
        torch.testing.assert_close(
            found.images * 255, (found.images * 255).round(), rtol=0, atol=1e-9
        )


def test_a_row_that_is_at_its_goal_already_asks_for_no_gradient() -> None:
    network, x, labels, _ = ten_classes()
    wrong = (labels + 1) % 10
    curve = solve(epsilon_curve(x, wrong, [0.1], fab_steps=5), network)
    assert (curve.minimal == 0).all()
    assert curve.attacked.gradients == 0


def test_a_target_is_the_only_class_that_counts() -> None:
    network, x, labels, _ = ten_classes()
    targets = (labels + 3) % 10
    grid = [0.05, 0.3]
    before = solve(epsilon_curve(x, labels, grid, targets=targets), network)
    after = solve(epsilon_curve(x, labels, grid, targets=targets, fab_steps=15), network)
    assert (after.minimal < before.minimal).any()
    assert (after.minimal <= before.minimal).all()
    assert torch.equal(network.logits(after.attacked.images).argmax(1), targets)


@norms
def test_nothing_beyond_the_ball_or_farther_than_what_is_known_counts(p: float) -> None:
    network, x, labels, _ = ten_classes()
    goal, known = Untargeted(labels), torch.full((ROWS,), torch.inf, dtype=torch.float64)
    everywhere = solve(fab_nearer(Ball(x, radii(1e3, x), p), goal, known, 10), network)
    middle = float(everywhere.distance.median())
    small = solve(fab_nearer(Ball(x, radii(middle, x), p), goal, known, 10), network)
    assert torch.equal(small.distance.isfinite(), everywhere.distance <= middle)
    assert torch.equal(small.images[small.distance.isinf()], x[small.distance.isinf()])
    again = solve(fab_nearer(Ball(x, radii(1e3, x), p), goal, everywhere.distance, 10), network)
    assert again.distance.isinf().all()


def test_units_are_refused() -> None:
    network, x = tricky(), images(2)
    unit = (activation([LayerPath("down", 3)] * 2), silence)
    with pytest.raises(ValueError, match="goal of classes"):
        solve(epsilon_curve(x, None, [0.1], unit=unit, fab_steps=2), network)


def test_a_row_without_answers_costs_itself_alone() -> None:
    network, x = hosted(NanGradient()), pictures(5)
    x[2, :, :3, :3] = 0
    others, grid = [0, 1, 3, 4], [1e-6, 0.5]
    whole = solve(epsilon_curve(x, None, grid, steps=2, fab_steps=4), network)
    apart = solve(epsilon_curve(x[others], None, grid, steps=2, fab_steps=4), network)
    torch.testing.assert_close(whole.minimal[others], apart.minimal)
    assert apart.minimal.isfinite().any()
    assert whole.minimal[2].isinf()
    assert whole.failed_from[2] == grid[0]
    assert whole.attacked.failure.nonzero().flatten().tolist() == [2]
    assert whole.attacked.gradients >= apart.attacked.gradients
