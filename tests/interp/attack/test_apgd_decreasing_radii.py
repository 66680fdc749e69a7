"""APGD that begins outside its ball: which balls it visits, what it asks, and that it is no
weaker.
"""

import math

import pytest
import torch
from torch import Tensor

from interp.ascent import AscentResult, Done
from interp.attack.apgd_ascent import apgd_ascent, apgd_decreasing_radii
from interp.attack.ball import Ball
from interp.attack.goal import Untargeted
from interp.attack.losses import cross_entropy
from interp.network.network import Network
from interp.norms import norm
from interp.objective import Objective
from interp.probe import solve
from interp.seeds import generators
from tests.interp.attack.test_apgd_ascent import best_gain, digits, linear_pair
from tests.interp.toys_networks import Counting, images, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])


def ball(x: Tensor, eps: float, p: float) -> Ball:
    return Ball(x, x.new_full((len(x), 1, 1, 1), eps), p, random_start=True)


def missed(labels: Tensor) -> Done:
    return lambda answer, rows: Untargeted(labels[rows]).reached(answer)


@norms
@pytest.mark.parametrize(
    ("steps", "stages"),
    [(1, (0, 0, 1)), (3, (1, 1, 1)), (4, (1, 1, 2)), (10, (3, 3, 4)), (25, (8, 8, 9))],
)
def test_the_balls_shrink_and_the_steps_are_shared_out(
    p: float, steps: int, stages: tuple[int, int, int]
) -> None:
    network, x = tricky(), images(4)
    labels = network.logits(x).argmax(1)
    eps = {math.inf: 0.001, 2.0: 0.02, 1.0: 0.3}[
        p
    ]  # so small that the box hardly matters and no row leaves
    counting = Counting(network)
    found = solve(
        apgd_decreasing_radii(
            ball(x, eps, p), cross_entropy(labels), steps, generators(0, 0, 4), missed(labels)
        ),
        counting,
    )
    assert found.gradients == 4 * steps == sum(counting.gradients)
    probes = iter(counting.probes)
    for radii, count in zip((3, 2, 1), stages, strict=True):
        reach = [
            norm(next(probes).images - x, p).max().item() for _ in range(count + 1 if count else 0)
        ]
        assert all(r <= radii * eps * (1 + 1e-9) for r in reach)
        if count > 2:
            assert max(reach) > 0.9 * radii * eps
    assert next(probes, None) is None
    assert (norm(found.images - x, p) <= eps * (1 + 1e-9)).all()


@norms
def test_rows_leave_only_where_their_points_count(p: float) -> None:
    network, x = tricky(), images(8)
    labels = network.logits(x).argmax(1)
    eps = {math.inf: 0.03, 2.0: 0.3, 1.0: 4.0}[p]
    counting = Counting(network)
    found = solve(
        apgd_decreasing_radii(
            ball(x, eps, p), cross_entropy(labels), 10, generators(0, 0, 8), missed(labels)
        ),
        counting,
    )
    assert counting.gradients[:6] == [8] * 6
    assert counting.gradients[6:] != [8] * 4
    fooled = network.logits(found.images).argmax(1) != labels
    assert fooled.any()
    for row in (0, 7):
        one = slice(row, row + 1)
        walk = apgd_decreasing_radii(
            ball(x[one], eps, p),
            cross_entropy(labels[one]),
            10,
            generators(0, row, 1),
            missed(labels[one]),
        )
        torch.testing.assert_close(
            solve(walk, network).images[0], found.images[row], rtol=0, atol=1e-9
        )


@norms
def test_on_a_linear_network_the_best_point_of_all_is_found(p: float) -> None:
    network, x, w = linear_pair(2)
    eps = {math.inf: 0.1, 2.0: 0.5, 1.0: 1.0}[p]
    found = solve(
        apgd_decreasing_radii(
            ball(x, eps, p),
            cross_entropy(torch.zeros(5, dtype=torch.long)),
            80,
            generators(0, 0, 5),
        ),
        network,
    )
    best = torch.tensor([best_gain(row, w, eps, p) for row in x], dtype=torch.float64)
    gained = (found.images - x).flatten(1) @ w
    assert (gained <= best * (1 + 1e-9)).all()
    assert (gained >= 0.98 * best).all()


def test_an_l1_walk_from_a_given_point_moves_fewer_pixels_than_that_has() -> None:
    network, x, w = linear_pair(2)
    start = x.clone()
    start.view(5, -1)[:, :9] = (x.flatten(1)[:, :9] + 0.02 * w[:9].sign()).clamp(0.001, 0.999)
    counting = Counting(network)
    loss: Objective = cross_entropy(torch.zeros(5, dtype=torch.long))
    solve(apgd_ascent(ball(x, 4.0, 1.0), loss, 1, generators(0, 0, 5), start=start), counting)
    first, second = (probe.images.flatten(1) for probe in counting.probes)
    torch.testing.assert_close(first, start.flatten(1))
    assert ((second - first).abs() > 1e-9).sum(1).max() <= 6  # nine, divided by 1.5


def fooled(network: Network, found: AscentResult, labels: Tensor) -> int:
    return int((network.logits(found.images).argmax(1) != labels).sum())


def test_in_l1_it_fools_no_fewer_than_apgd_that_stays_inside() -> None:
    network, x, labels = digits(64)
    outside, inside = 0, 0
    for eps in (5.0, 10.0):
        b = ball(x, eps, 1.0)
        outside += fooled(
            network,
            solve(
                apgd_decreasing_radii(
                    b, cross_entropy(labels), 30, generators(0, 0, 64), missed(labels)
                ),
                network,
            ),
            labels,
        )
        inside += fooled(
            network,
            solve(
                apgd_ascent(b, cross_entropy(labels), 30, generators(0, 0, 64), missed(labels)),
                network,
            ),
            labels,
        )
    assert 0 < inside <= outside < 128
