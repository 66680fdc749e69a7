"""The ascent itself, where attacks and visualizations meet: random views of rows that leave, and
what a summit tells.
"""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.attack.ball import Ball
from interp.attack.losses import cross_entropy
from interp.feature.params.fourier import Fourier
from interp.feature.spatial import RandomAffine
from interp.probe import Answer, Probe, solve
from interp.seeds import generators
from interp.step import adam, sign
from tests.interp.toys_networks import Counting, images, tricky

ROWS = 8


def robust_attack(x: Tensor, labels: Tensor) -> Ascent:
    """An attack that survives being jiggled, from random starts, by a rule with memory."""
    ball = Ball(x, x.new_full((len(x), 1, 1, 1), 0.05), math.inf, random_start=True)
    return Ascent(ball, cross_entropy(labels), adam(0.01), 12, RandomAffine(0.2, 30, (0.8, 1.25)))


@pytest.mark.parametrize("keep_best", [False, True])
def test_rows_that_leave_take_nothing_from_the_others(keep_best: bool) -> None:
    network, x = tricky(), images(ROWS)
    labels = network.logits(x).argmax(1)
    problem = replace(robust_attack(x, labels), keep_best=keep_best)
    stay = solve(ascend(problem, generators(1, 0, ROWS)), network)
    leaving = [3, 20, 1, 20, 6, 20, 2, 20]
    seen = [0] * ROWS

    def done(_: Answer, rows: Tensor) -> Tensor:
        for row in rows.tolist():
            seen[row] += 1
        return torch.tensor([seen[row] >= leaving[row] for row in rows.tolist()])

    counting = Counting(network)
    leave = solve(
        ascend(replace(problem, done=done, stop_when_done=True), generators(1, 0, ROWS)), counting
    )
    assert counting.gradients == [8, 7, 6, 5, 5, 5, 4, 4, 4, 4, 4, 4]
    assert leave.gradients == sum(counting.gradients)
    for row in (1, 3, 5, 7):  # those that stayed
        torch.testing.assert_close(leave.images[row], stay.images[row], rtol=0, atol=1e-12)
    assert (stay.images - x).abs().amax((1, 2, 3)).min() > 0.03


def test_a_row_is_probed_as_if_it_were_alone() -> None:
    network, x = tricky(), images(ROWS)
    labels = torch.arange(ROWS) % 5
    together = solve(ascend(robust_attack(x, labels), generators(2, 0, ROWS)), network)
    for row in (0, 5):
        part = slice(row, row + 1)
        alone = solve(ascend(robust_attack(x[part], labels[part]), generators(2, row, 1)), network)
        torch.testing.assert_close(alone.images[0], together.images[row], rtol=0, atol=1e-9)


def test_the_start_logits_are_those_of_the_start() -> None:
    network, x = tricky(), images(3)
    ball = Ball(x, x.new_full((3, 1, 1, 1), 0.05))
    problem = Ascent(
        ball,
        cross_entropy(torch.tensor([0, 1, 2])),
        sign(0.01),
        3,
        done=lambda _, rows: torch.zeros_like(rows, dtype=torch.bool),
    )
    summit = solve(ascend(problem, generators(0, 0, 3)), network)
    assert summit.start_logits is not None
    torch.testing.assert_close(summit.start_logits, network.logits(x), rtol=0, atol=1e-12)
    assert summit.moved.all()


def test_a_climb_of_no_steps_is_its_start() -> None:
    space = Fourier((3, 8, 8), torch.zeros((), dtype=torch.float64))
    problem = Ascent(space, cross_entropy(torch.tensor([0, 1])), adam(0.1), 0)
    summit = solve(ascend(problem, generators(0, 0, 2)), tricky())
    assert torch.equal(summit.images, space.image(space.start(generators(0, 0, 2))))
    assert summit.gradients == 0
    assert not summit.moved.any()


def test_probes_ask_for_what_is_needed_and_hold_no_graph() -> None:
    network, x = tricky(), images(4)
    counting = Counting(network)
    solve(ascend(robust_attack(x, torch.arange(4)), generators(0, 0, 4)), counting)
    assert len(counting.probes) == 12
    for probe in counting.probes:
        assert isinstance(probe, Probe)
        assert not probe.images.requires_grad
        assert not probe.logits  # nobody is ever done
        assert probe.images.min() >= -1e-12
        assert probe.images.max() <= 1 + 1e-12
