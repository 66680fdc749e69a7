"""L1 steps against linear programmes, and PGD and the curve in L1 against the exact distances of
linear networks.
"""

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from interp.attack.base import attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.attack.geometry.l1_step import exchange, fill_in_order
from interp.attack.pgd import fgsm, pgd
from interp.probe import solve
from tests.interp.toys_networks import linear


def uniform(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def knapsack(value: Tensor, room: Tensor, budget: float) -> float:
    """The most that `value @ filling` can be of a filling that spends all of the budget that the
    room takes.
    """
    spent = min(budget, float(room.sum()))
    found = optimize.linprog(
        -value.numpy(),
        A_eq=np.ones((1, len(value))),
        b_eq=[spent],
        bounds=[(0, float(r)) for r in room],
    )
    assert found.status == 0
    assert found.fun is not None
    return -float(found.fun)


@pytest.mark.parametrize("seed", range(5))
def test_filling_in_order_is_the_best_of_all_fillings(seed: int) -> None:
    value, room = normal(4, 12, seed=seed), uniform(4, 12, seed=seed + 50)
    room[:, 3] = 0
    value[1, 4] = value[1, 5]  # a tie
    budget = torch.tensor([[0.0], [0.7], [3.1], [50.0]], dtype=torch.float64)
    filled = fill_in_order(value, room, budget)
    assert (filled >= 0).all()
    assert (filled <= room).all()
    for row in range(4):
        wanted = knapsack(value[row], room[row], float(budget[row]))
        assert float(filled[row] @ value[row]) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    torch.testing.assert_close(filled.sum(1, keepdim=True), budget.minimum(room.sum(1, True)))


def farthest(w: Tensor, x: Tensor, eps: float) -> float:
    """The most that w @ delta can be with ||delta||_1 <= eps and x + delta in [0, 1]."""
    return knapsack(w.abs(), torch.where(w > 0, 1 - x, x), eps)


@pytest.mark.parametrize("seed", range(5))
def test_one_long_step_of_single_pixels_ends_at_the_highest_point(seed: int) -> None:
    """Wherever in the ball it starts, since what it overshoots is given back from the worst."""
    x, w = uniform(3, 30, seed=seed), normal(3, 30, seed=seed + 9)
    eps = torch.tensor([[0.3], [2.0], [5.0]], dtype=torch.float64)
    lost = (normal(3, 30, seed=seed + 20) * 0.01 + x).clamp(0, 1) - x
    z = x + lost * (eps / lost.abs().sum(1, keepdim=True)).clamp_max(1)
    end = z + exchange(z, x, eps, w, 2 * eps, torch.ones_like(eps))
    assert (end >= -1e-12).all()
    assert (end <= 1 + 1e-12).all()
    torch.testing.assert_close((end - x).abs().sum(1, keepdim=True), eps)
    for row in range(3):
        wanted = farthest(w[row], x[row], float(eps[row]))
        assert float((end - x)[row] @ w[row]) == pytest.approx(wanted, rel=1e-9)


def test_so_many_pixels_share_a_step_and_one_without_slope_takes_no_part() -> None:
    x = torch.full((1, 10), 0.5, dtype=torch.float64)
    x[0, 9] = 0.98  # the steepest of all has little room
    w = torch.arange(10, dtype=torch.float64)[None]
    one = torch.ones(1, 1, dtype=torch.float64)
    moved = exchange(x, x, 10 * one, w, 0.4 * one, 4 * one)
    expected = torch.tensor([[0, 0, 0, 0, 0.08, 0.1, 0.1, 0.1, 0.0, 0.02]], dtype=torch.float64)
    expected[0, 4:9] = torch.tensor([0.0, 0.08, 0.1, 0.1, 0.1])
    torch.testing.assert_close(moved, expected)
    assert not exchange(x, x, one, torch.zeros_like(w), one, one).any()


def case(classes: int, shape: tuple[int, int, int], edges: bool, seed: int) -> tuple[Tensor, ...]:
    """Weights, biases, images of class 0, and their exact distances from the other classes."""
    n = math.prod(shape)
    w, x = normal(classes, n, seed=seed), uniform(8, n, seed=seed + 1)
    if edges:
        x = torch.where(x < 0.5, 0.1 * x, 1 - 0.1 * x)
    w = 30 * w / w.norm()  # logits as far apart as those of trained networks
    bias = torch.zeros(classes, dtype=torch.float64)
    bias[0] = (x @ (w[1:] - w[0]).T).max() + 1.5
    logits = x @ w.T + bias
    exact = [
        min(least(row, w[c] - w[0], float(own[0] - own[c])) for c in range(1, classes))
        for row, own in zip(x, logits, strict=True)
    ]
    return w, bias, x.view(-1, *shape), x.new_tensor(exact)


def least(x: Tensor, w: Tensor, rise: float) -> float:
    """The least ||delta||_1 with w @ delta = rise and x + delta in [0, 1], by a linear programme in
    what pixels rise and what they fall.
    """
    cost, slope = np.ones(2 * len(x)), torch.cat([w, -w]).numpy()
    bounds = [(0, float(1 - v)) for v in x] + [(0, float(v)) for v in x]
    found = optimize.linprog(cost, A_eq=slope[None], b_eq=[rise], bounds=bounds)
    assert found.status == 0
    assert found.fun is not None
    return float(found.fun)


CASES = pytest.mark.parametrize(
    ("classes", "shape", "edges"),
    [(2, (1, 8, 8), False), (2, (3, 8, 8), True), (2, (3, 16, 16), False), (5, (3, 8, 8), False)],
)


@CASES
def test_minimal_epsilons_of_linear_networks_are_within_two_percent(
    classes: int, shape: tuple[int, int, int], edges: bool
) -> None:
    w, bias, x, exact = case(classes, shape, edges, 3)
    labels = torch.zeros(len(x), dtype=torch.int64)
    epsilons = [float(exact.max()) * k / 6 for k in range(1, 9)]
    for random_start in (False, True):
        curve = solve(
            epsilon_curve(x, labels, epsilons, 1.0, bisections=8, random_start=random_start),
            linear(w, bias, shape),
        )
        assert (curve.minimal >= exact * (1 - 1e-9)).all()
        assert (curve.minimal / exact).median() <= 1.02
        if classes == 2:  # of more, the way to the likeliest is not always the shortest
            assert (curve.minimal / exact).max() <= 1.02


@CASES
@pytest.mark.parametrize("random_start", [False, True])
def test_pgd_fools_two_classes_a_little_beyond_the_exact_distance_and_none_within(
    classes: int, shape: tuple[int, int, int], edges: bool, random_start: bool
) -> None:
    w, bias, x, exact = case(classes, shape, edges, 8)
    labels = torch.zeros(len(x), dtype=torch.int64)
    network, method = linear(w, bias, shape), pgd(steps=40, random_start=random_start)
    for share in (0.99, 1.02):
        found = solve(attack(x, labels, method, epsilon=share * exact, p=1.0), network)
        assert (found.norm <= share * exact * (1 + 1e-6)).all()
        if share < 1 or classes == 2:
            assert found.succeeded.tolist() == [share > 1] * len(x)


def test_fgsm_goes_evenly_along_the_largest_twentieth_that_has_room() -> None:
    w = torch.arange(1, 41, dtype=torch.float64)
    x = torch.full((1, 1, 5, 8), 0.5, dtype=torch.float64)
    x[0, 0, 4, 7] = 0.9  # the largest is full after 0.1
    network = linear(torch.stack([torch.zeros_like(w), w]), torch.tensor([900.0, 0.0]), (1, 5, 8))
    found = solve(attack(x, torch.tensor([0]), fgsm(), epsilon=0.375, p=1.0), network)
    change = (found.images - x).flatten()
    expected = torch.zeros(40, dtype=torch.float64)
    expected[37:] = torch.tensor([0.0875, 0.1875, 0.1]).double()
    torch.testing.assert_close(change, expected)
