"""Searches in turn: each on the rows that are left, the best of what they found, and no row for
another's sake.
"""

import math

import pytest
import torch
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.apgd_ascent import apgd_ascent
from interp.attack.ball import Ball
from interp.attack.goal import CROSS_ENTROPY, Goal, Loss, Untargeted
from interp.attack.search import Search, in_turn
from interp.norms import norm
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure, solve
from interp.seeds import Generators, generators
from tests.interp.toys_networks import Counting, images, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
EPSILON = {math.inf: 0.012, 2.0: 0.12, 1.0: 1.6}


def four_steps(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
    return apgd_ascent(
        ball,
        goal.objective(CROSS_ENTROPY),
        4,
        rows,
        lambda answer, of: goal.take(of).reached(answer),
    )


@norms
def test_restarts_go_on_with_the_survivors_only(p: float) -> None:
    network, x = tricky(), images(16)
    labels = network.logits(x).argmax(1)
    ball = Ball(x, x.new_full((16, 1, 1, 1), EPSILON[p]), p, random_start=True)
    verdicts, gradients = [], []
    for count in (1, 2, 4):
        counting = Counting(network)
        found = solve(
            in_turn([four_steps] * count)(ball, Untargeted(labels), generators(3, 0, 16)), counting
        )
        assert found.gradients == sum(counting.gradients)
        verdicts.append(network.logits(found.images).argmax(1) != labels)
        gradients.append(found.gradients)
        assert (norm(found.images - x, p).flatten() <= EPSILON[p] * (1 + 1e-9)).all()
    assert 0 < verdicts[0].sum() < 16
    assert (verdicts[0] <= verdicts[1]).all()
    assert (verdicts[1] <= verdicts[2]).all()
    assert gradients[1] - gradients[0] <= 4 * int((~verdicts[0]).sum())
    for row in (0, 7, 15):  # and company does not matter
        one = torch.tensor([row])
        single = solve(
            in_turn([four_steps] * 4)(
                ball.take(one), Untargeted(labels[one]), generators(3, row, 1)
            ),
            network,
        )
        torch.testing.assert_close(single.images[0], found.images[row], rtol=0, atol=1e-10)


class Sevens:
    """A network whose logits are the first two pixels of an image."""

    def answer(self, probes: list[Probe]) -> list[Answer]:
        (probe,) = probes
        logits = probe.images.flatten(1)[:, :2]
        assert probe.objective is not None
        return [Answer(probe.objective({"logits": logits}), None, logits)]


def test_any_searches_may_follow_each_other() -> None:
    x = torch.zeros(4, 1, 1, 2, dtype=torch.float64)
    x[..., 0] = 1.0  # the label's logit
    others = torch.tensor(
        [[0.1, 0.2, 0.3, 2.0], [0.5, 3.0, 0.1, 9.9], [4.0, 9.9, 0.2, 9.9]], dtype=torch.float64
    )  # by search
    asked: list[list[int]] = []

    def numbered(number: int) -> Search:
        def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
            assert ball.rows is not None
            todo = ball.rows
            asked.append(todo.tolist())
            found = ball.x.clone()
            found[:, 0, 0, 1] = others[number, todo]
            return AscentResult(
                found,
                todo == number,
                torch.full((len(todo), 2), float(number)),
                len(todo),
                10 * len(todo),
            )
            yield

        return search

    def least(_: Tensor) -> Objective:
        return Objective(("logits",), lambda seen: -seen["logits"][:, 1])

    ball = Ball(x, torch.full((4, 1, 1, 1), 9.0, dtype=torch.float64), rows=torch.arange(4))
    goal = Untargeted(torch.zeros(4, dtype=torch.long))
    found = solve(
        in_turn(
            [numbered(n) for n in range(3)], Loss("least", least, lambda labels, _: least(labels))
        )(ball, goal, generators(0, 0, 4)),
        Sevens(),
    )
    assert asked == [[0, 1, 2, 3], [0, 1, 2], [0, 2]]
    assert found.images[:, 0, 0, 1].tolist() == [
        4.0,
        3.0,
        0.1,
        2.0,
    ]  # fooled last, fooled second, never (highest), at once
    assert (found.gradients, found.queries) == (9, 90)
    assert found.moved.tolist() == [True, True, True, False]
    assert found.start_logits is not None
    assert found.start_logits.tolist() == [[0.0, 0.0]] * 4
