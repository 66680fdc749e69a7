"""FAB against the least perturbations of linear networks, found by linear and quadratic
programming, and row by row.
"""

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.fab import fab_minimal, fab_search
from interp.attack.geometry.hyperplane import shortest_move
from interp.attack.goal import Targeted, Untargeted, drive
from interp.layer import LayerPath
from interp.network.network import Network
from interp.norms import norm
from interp.objective import activation
from interp.probe import Oracle, solve
from interp.seeds import generators
from tests.interp.toys_networks import Counting, images, linear, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])


def least(t: Tensor, w: Tensor, rise: float, p: float) -> float:
    """The least p-norm of a move d with w . d >= rise, t + d in [0, 1]; infinite if there
    is none.
    """
    n, bounds = len(t), [(-float(v), 1 - float(v)) for v in t]
    if p == 2:  # each entry moves as its weight does, until it is at the edge

        def gained(pull: float) -> float:
            return float((w * (t + pull * w).clamp(0, 1) - w * t).sum()) - rise

        if gained(1e9) < 0:
            return math.inf
        pull = optimize.brentq(gained, 0, 1e9, xtol=1e-15, rtol=1e-14)
        return float(((t + pull * w).clamp(0, 1) - t).norm())
    extra = 1 if p == math.inf else n  # the bound of all moves, or one for each
    spread = np.ones((n, 1)) if p == math.inf else np.eye(n)
    below = np.block(
        [[np.eye(n), -spread], [-np.eye(n), -spread], [-w.numpy()[None], np.zeros((1, extra))]]
    )
    cost = np.r_[np.zeros(n), np.ones(extra)]
    found = optimize.linprog(
        cost, below, np.r_[np.zeros(2 * n), -rise], bounds=bounds + [(0, None)] * extra
    )
    return math.inf if found.fun is None else float(found.fun)


# The projection


@norms
@pytest.mark.parametrize("seed", range(4))
def test_the_move_to_a_plane_is_the_least_of_all(p: float, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    t = (1.6 * torch.rand(2, 8, 10, generator=rng, dtype=torch.float64) - 0.3).clamp(
        0, 1
    )  # two points a plane, some at the edge
    w = torch.randn(8, 10, generator=rng, dtype=torch.float64)
    w[:, :2] = 0.0
    w[0] = w[0].sign()  # ties
    rise = (
        torch.randn(2, 8, 1, generator=rng, dtype=torch.float64)
        * torch.tensor([1e-3, 0.3, 1.0, 1.0, 2.0, 2.0, 1.0, 0.0])[:, None]
    )
    rise[:, 6] = torch.tensor([[30.0], [-30.0]])  # beyond the box
    move = shortest_move(t, w, rise, p)
    assert (t + move >= -1e-12).all()
    assert (t + move <= 1 + 1e-12).all()
    reachable = 0
    for k in range(2):
        for row in range(8):
            goal = float(rise[k, row])
            bound = least(t[k, row], w[row] * math.copysign(1, goal), abs(goal), p)
            length = float(torch.linalg.vector_norm(move[k, row], p))
            if bound < math.inf:
                reachable += 1
                assert float(w[row] @ move[k, row]) == pytest.approx(goal, abs=1e-10)
                assert length == pytest.approx(bound, abs=1e-8)
            else:  # as near as the box lets it come
                room = torch.where(w[row] * goal > 0, 1 - t[k, row], t[k, row])
                torch.testing.assert_close(move[k, row], room * (w[row] * goal).sign())
    assert 8 <= reachable <= 14


@norms
def test_without_a_gradient_there_is_no_move(p: float) -> None:
    t = images(3).flatten(1)
    assert not shortest_move(
        t, torch.zeros_like(t), torch.tensor([[1.0], [0.0], [-1.0]]).double(), p
    ).any()


# Linear networks


def classes(
    count: int, rows: int = 6, seed: int = 0
) -> tuple[Network, Tensor, Tensor, list[list[float]]]:
    """A linear network, images of which some pixels are at the edge, their labels, and per norm the
    least perturbation of each row.
    """
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(count, 12, generator=rng, dtype=torch.float64)
    x = (1.4 * torch.rand(rows, 3, 2, 2, generator=rng, dtype=torch.float64) - 0.2).clamp(0, 1)
    network = linear(weight, -weight.sum(1) / 2, (3, 2, 2))
    logits = network.logits(x)
    labels = logits.argmax(1)
    exact = []
    for p in (math.inf, 2.0, 1.0):
        of_row = []
        for row, label in enumerate(labels.tolist()):
            others = [c for c in range(count) if c != label]
            gaps = [
                (weight[c] - weight[label], float(logits[row, label] - logits[row, c]))
                for c in others
            ]
            of_row.append(min(least(x[row].flatten(), w, gap, p) for w, gap in gaps))
        exact.append(of_row)
    return network, x, labels, exact


def which(p: float) -> int:
    return [math.inf, 2.0, 1.0].index(p)


@norms
@pytest.mark.parametrize("count", [2, 5])
def test_the_least_perturbation_is_found(p: float, count: int) -> None:
    network, x, labels, exact = classes(count)
    found = solve(fab_minimal(x, Untargeted(labels), p, 40), network)
    bound = torch.tensor(exact[which(p)], dtype=torch.float64)
    assert (found.distance >= bound - 1e-9).all()
    assert (found.distance <= bound * 1.01).all()
    assert (network.logits(found.images).argmax(1) != labels).all()
    torch.testing.assert_close(norm(found.images - x, p).flatten(), found.distance)
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert found.gradients == 40 * 6 * (count - 1)


@norms
def test_a_row_that_is_wrong_already_is_at_no_distance_and_one_that_cannot_be_moved_at_an_infinite(
    p: float,
) -> None:
    network, x, labels, _ = classes(2)
    wrong = labels.clone()
    wrong[0] = 1 - wrong[0]
    found = solve(fab_minimal(x, Untargeted(wrong), p, 5), network)
    assert found.distance[0] == 0
    assert torch.equal(found.images[0], x[0])
    sure = linear(torch.randn(2, 12, dtype=torch.float64), torch.tensor([1e3, 0.0]), (3, 2, 2))
    found = solve(fab_minimal(x, Untargeted(torch.zeros(6, dtype=torch.long)), p, 5), sure)
    assert (found.distance == math.inf).all()
    assert torch.equal(found.images, x)


def at_epsilon(
    network: Oracle,
    x: Tensor,
    labels: Tensor,
    eps: Tensor,
    p: float,
    steps: int = 40,
    eight_bit: bool = False,
) -> AscentResult:
    ball = Ball(x, eps.view(-1, 1, 1, 1).to(x), p, eight_bit=eight_bit)
    return solve(fab_search(steps, 9)(ball, Untargeted(labels), generators(0, 0, len(x))), network)


@norms
def test_the_verdict_at_an_epsilon_is_right_on_both_sides_of_the_least_perturbation(
    p: float,
) -> None:
    network, x, labels, exact = classes(5)
    bound = torch.tensor(exact[which(p)], dtype=torch.float64)
    for factor, fooled in ((0.99, False), (1.02, True)):
        found = at_epsilon(network, x, labels, bound * factor, p)
        assert ((network.logits(found.images).argmax(1) != labels) == fooled).all()
        assert (norm(found.images - x, p).flatten() <= bound * factor * (1 + 1e-9)).all()
        assert found.images.min() >= 0
        assert found.images.max() <= 1


@norms
def test_rows_leave_with_the_first_point_in_their_own_ball(p: float) -> None:
    network, x, labels, exact = classes(2)
    bound = torch.tensor(exact[which(p)], dtype=torch.float64)
    eps = bound * torch.tensor([2.0, 0.5, 2.0, 2.0, 0.5, 2.0])
    counting = Counting(network)
    found = at_epsilon(counting, x, labels, eps, p, steps=10)
    assert found.gradients == sum(counting.gradients)
    assert counting.gradients[0] == 6
    assert (
        counting.gradients[-1] == 2
    )  # one row in two balls' worth of room is there after a few steps
    assert found.gradients < 6 * 10 / 2
    assert ((network.logits(found.images).argmax(1) != labels) == (eps > bound)).all()


def test_a_given_target_is_reached_across_whatever_lies_between() -> None:
    network, x, labels, _ = classes(5, rows=12, seed=3)
    targets = network.logits(x).argmin(1)
    found = solve(fab_minimal(x, Targeted(labels, targets), 2.0, 60), network)
    near = found.distance < math.inf
    assert near.sum() >= 10
    assert (network.logits(found.images).argmax(1)[near] == targets[near]).all()
    untargeted = solve(fab_minimal(x, Untargeted(labels), 2.0, 60), network)
    assert (found.distance >= untargeted.distance * 0.99).all()
    assert found.gradients <= 12 * 60  # one target, not four


# A network that bends


@norms
def test_company_does_not_matter(p: float) -> None:
    network, x = tricky(), images(8)
    labels = network.logits(x).argmax(1)
    minimal = solve(fab_minimal(x, Untargeted(labels), p, 12, 2), network)
    assert (minimal.distance < math.inf).all()
    eps = minimal.distance * torch.tensor([0.5, 1.5] * 4)
    found = at_epsilon(network, x, labels, eps, p, 12)
    assert not torch.equal(found.images, x)
    for row in (0, 3, 7):
        one = slice(row, row + 1)
        alone = solve(fab_minimal(x[one], Untargeted(labels[one]), p, 12, 2), network)
        torch.testing.assert_close(alone.images[0], minimal.images[row], rtol=0, atol=1e-9)
        single = at_epsilon(network, x[one], labels[one], eps[one], p, 12)
        torch.testing.assert_close(single.images[0], found.images[row], rtol=0, atol=1e-9)


@norms
def test_eight_bit_images_lie_on_the_lattice_inside_the_ball_and_fool(p: float) -> None:
    network, x = tricky(), (images(8) * 255).round() / 255
    labels = network.logits(x).argmax(1)
    eps = (
        1.5 * solve(fab_minimal(x, Untargeted(labels), p, 12), network).distance
        + {math.inf: 1, 2.0: 8, 1.0: 96}[p] / 255
    )
    found = at_epsilon(network, x, labels, eps, p, 20, eight_bit=True)
    levels = found.images * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-9)
    assert (norm(found.images - x, p).flatten() * 255 <= eps * 255 + 1e-3).all()
    assert (network.logits(found.images).argmax(1) != labels).all()


def test_units_have_no_boundary_to_follow() -> None:
    network, x = tricky(), images(2)
    unit = activation([LayerPath("down", 3)] * 2)
    goal = drive(unit, torch.ones(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="classes"):
        solve(fab_minimal(x, goal, 2.0), network)


@norms
@pytest.mark.parametrize("power", [-83, -40, 40])
def test_the_scale_of_logits_does_not_matter(p: float, power: int) -> None:
    rng = torch.Generator().manual_seed(5)
    weight, bias = torch.randn(4, 27, generator=rng), torch.randn(4, generator=rng) / 10
    x = torch.rand(6, 3, 3, 3, generator=rng)
    found = []
    for scale in (1.0, 2.0**power):
        network = linear(weight * scale, bias * scale, (3, 3, 3))
        labels = network.logits(x).argmax(1)
        found.append(solve(fab_minimal(x, Untargeted(labels), p, 20), network))
    assert found[0].distance.isfinite().all()
    assert torch.equal(found[0].distance, found[1].distance)
