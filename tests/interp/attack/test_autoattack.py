"""The ensemble: its parts take the survivors of those before, and its verdicts on linear networks
are those of linear programming.
"""

import math

import pytest
import torch
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.apgd import apgd_search, apgd_targeted_search
from interp.attack.autoattack import ensemble_search
from interp.attack.ball import Ball
from interp.attack.fab import fab_search
from interp.attack.goal import DLR, Goal, Targeted, Untargeted, drive
from interp.attack.search import Search
from interp.attack.square import square_search
from interp.attack.target_classes import (
    TargetClasses,
    each_target_class,
    most_probable_wrong_classes,
)
from interp.layer import LayerPath
from interp.norms import norm
from interp.objective import activation
from interp.probe import Answer, Oracle, Probe, Procedure, solve
from interp.seeds import Generators, generators
from tests.interp.attack.test_fab import classes, which
from tests.interp.toys_networks import Counting, images, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])


def ball(x: Tensor, eps: Tensor, p: float, *, eight_bit: bool = False) -> Ball:
    return Ball(x, eps.view(-1, 1, 1, 1).to(x), p, eight_bit=eight_bit)


def run(search: Search, network: Oracle, b: Ball, goal: Goal, first_row: int = 0) -> AscentResult:
    return solve(search(b, goal, generators(7, first_row, len(b.x))), network)


def test_rivals_are_the_most_probable_wrong_classes_in_order() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 9.0, 5.0, 7.0]])
    assert most_probable_wrong_classes(logits, torch.tensor([0, 2]), 2).tolist() == [[2, 1], [1, 3]]
    assert most_probable_wrong_classes(logits, torch.tensor([0, 1]), 9).tolist() == [
        [2, 1, 3],
        [3, 2, 0],
    ]


class Pixels:
    """A network whose four logits are the first pixels of an image."""

    def answer(self, probes: list[Probe]) -> list[Answer]:
        (probe,) = probes
        logits = probe.images.flatten(1)[:, :4]
        return [
            Answer(probe.objective({"logits": logits}) if probe.objective else None, None, logits)
        ]


def test_each_rival_is_tried_on_the_rows_that_are_not_there_yet() -> None:
    x = torch.tensor(
        [[0.9, 0.3, 0.2, 0.1], [0.9, 0.1, 0.2, 0.3], [0.9, 0.3, 0.1, 0.2]], dtype=torch.float64
    ).view(3, 1, 2, 2)
    tried: list[list[tuple[int, int]]] = []
    won = [{0: False, 1: True, 2: False}, {0: True, 2: False}, {2: False}]  # by duel, then row

    def duel(
        b: Ball, goal: TargetClasses, number: int, rows: Generators
    ) -> Procedure[AscentResult]:
        assert b.rows is not None
        tried.append(list(zip(b.rows.tolist(), goal.targets[:, number].tolist(), strict=True)))
        z = b.x.clone()
        for i, row in enumerate(b.rows.tolist()):
            if won[number][row]:
                z.view(-1, 4)[i, goal.targets[i, number]] = 1.0
        return AscentResult(z, torch.ones(len(z), dtype=torch.bool), None, len(z), 2 * len(z))
        yield

    found = run(
        each_target_class(duel, 9),
        Pixels(),
        ball(x, torch.ones(3), math.inf),
        Untargeted(torch.zeros(3, dtype=torch.long)),
    )
    assert tried == [[(0, 1), (1, 3), (2, 1)], [(0, 2), (2, 3)], [(2, 2)]]
    assert (found.images != x).flatten(1).sum(1).tolist() == [1, 1, 0]
    assert (found.gradients, found.queries) == (6, 12)


@norms
@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_ensembles_verdicts_are_exact_on_linear_networks(p: float, count: int) -> None:
    network, x, labels, exact = classes(count)
    bound = torch.tensor(exact[which(p)], dtype=torch.float64)
    factor = torch.tensor([0.97, 1.03] * 3, dtype=torch.float64)
    found = run(
        ensemble_search(20, queries=40), network, ball(x, bound * factor, p), Untargeted(labels)
    )
    assert ((network.logits(found.images).argmax(1) != labels) == (factor > 1)).all()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_apgd_t_needs_no_four_classes(count: int) -> None:
    network, x, labels, exact = classes(count)
    bound = torch.tensor(exact[0], dtype=torch.float64)
    factor = torch.tensor([0.97, 1.03] * 3, dtype=torch.float64)
    found = run(
        apgd_targeted_search(30, 9), network, ball(x, bound * factor, math.inf), Untargeted(labels)
    )
    assert ((network.logits(found.images).argmax(1) != labels) == (factor > 1)).all()
    assert found.gradients >= 3 * 30 * (count - 1)  # every rival is tried where none can be reached


@norms
@pytest.mark.parametrize(
    ("search", "steps", "least"),
    [
        (apgd_targeted_search(60, 9), {}, 6),
        (fab_search(60, 9), {}, 5),
        (ensemble_search(20, queries=30), {1.0: 20 * 7}, 6),  # in L1 its APGD starts five times
    ],
    ids=["apgd-t", "fab-t", "autoattack"],
)
def test_a_targeted_goal_has_one_rival(
    p: float, search: Search, steps: dict[float, int], least: int
) -> None:
    network, x, labels, _ = classes(5)
    targets = network.logits(x).topk(2, 1)[1][:, 1]
    counting = Counting(network)
    found = run(search, counting, ball(x, torch.full((6,), 100.0), p), Targeted(labels, targets))
    reached = network.logits(found.images).argmax(1) == targets
    assert reached.sum() >= least
    out_of_reach = run(
        search, network, ball(x, torch.full((6,), 1e-4), p), Targeted(labels, targets)
    )
    assert out_of_reach.gradients == 6 * steps.get(p, 60)
    assert found.gradients == sum(counting.gradients)


def test_a_unit_has_no_rivals() -> None:
    network, x = tricky(), images(2)
    goal = drive(activation([LayerPath("down", 3)] * 2), torch.ones(2, dtype=torch.float64), 1e9)
    b = ball(x, torch.full((2,), 0.1), math.inf)
    for search in (apgd_targeted_search(5, 9), fab_search(5, 9), ensemble_search(5)):
        with pytest.raises(ValueError, match="classes"):
            run(search, network, b, goal)
    clean = network.activations(x, ["down"])["down"][:, 3].mean((1, 2))
    for search in (apgd_search(5), square_search(20)):
        found = run(search, network, b, goal)
        assert (
            network.activations(found.images, ["down"])["down"][:, 3].mean((1, 2)) > clean
        ).all()


@norms
def test_every_part_takes_the_survivors_and_counts_what_it_asks(p: float) -> None:
    network, x = tricky(), images(12)
    labels = network.logits(x).argmax(1)
    eps = {math.inf: 0.04, 2.0: 0.5, 1.0: 4.0}[p] * torch.linspace(
        0.05, 1.5, 12, dtype=torch.float64
    )
    b = ball(x, eps, p)
    counting = Counting(network)
    found = run(ensemble_search(6, 3, 20), counting, b, Untargeted(labels))
    fooled = network.logits(found.images).argmax(1) != labels
    assert 3 <= fooled.sum() <= 10
    assert found.gradients == sum(counting.gradients)
    survivors = int((~fooled).sum())
    assert found.queries >= 20 * survivors
    assert len(counting.probes[-1].images) == survivors  # the last look is at what Square returns
    alone = 0
    for search in (apgd_search(6), apgd_targeted_search(6, 3), fab_search(6, 3), square_search(20)):
        by_one = run(search, network, b, Untargeted(labels))
        alone = max(alone, int((network.logits(by_one.images).argmax(1) != labels).sum()))
    assert fooled.sum() >= alone
    assert (norm(found.images - x, p).flatten() <= eps * (1 + 1e-9)).all()
    assert found.images.min() >= 0
    assert found.images.max() <= 1


@norms
def test_square_is_not_kept_up_where_it_leads_nowhere(p: float) -> None:
    network, x = tricky(), images(4)
    found = run(
        ensemble_search(2, 1, 1250),
        network,
        ball(x, torch.full((4,), 1e-6), p),
        Untargeted(network.logits(x).argmax(1)),
    )
    assert found.queries == 4 * 1000  # the first look at which rows may go


@norms
def test_company_does_not_matter(p: float) -> None:
    network, x = tricky(), images(6)
    labels = network.logits(x).argmax(1)
    eps = {math.inf: 0.02, 2.0: 0.25, 1.0: 2.0}[p] * torch.linspace(
        0.05, 1.5, 6, dtype=torch.float64
    )
    search = ensemble_search(5, 2, 15)
    everyone = run(search, network, ball(x, eps, p), Untargeted(labels))
    for row in (0, 2, 5):
        one = slice(row, row + 1)
        single = run(search, network, ball(x[one], eps[one], p), Untargeted(labels[one]), row)
        torch.testing.assert_close(single.images[0], everyone.images[row], rtol=0, atol=1e-9)


@norms
def test_eight_bit_results_lie_on_the_lattice_inside_the_ball(p: float) -> None:
    network, x = tricky(), (images(6) * 255).round() / 255
    labels = network.logits(x).argmax(1)
    eps = {math.inf: 4, 2.0: 50, 1.0: 400}[p] / 255 * torch.ones(6, dtype=torch.float64)
    found = run(
        ensemble_search(8, 2, 15), network, ball(x, eps, p, eight_bit=True), Untargeted(labels)
    )
    torch.testing.assert_close(found.images * 255, (found.images * 255).round(), rtol=0, atol=1e-9)
    assert (norm(found.images - x, p).flatten() * 255 <= eps * 255 + 1e-3).all()


def test_restarts_fool_no_less() -> None:
    network, x = tricky(), images(16)
    labels = network.logits(x).argmax(1)
    b = ball(x, torch.full((16,), 0.008), math.inf)
    fooled = []
    for count in (1, 3):
        found = run(apgd_search(3, DLR, restarts=count), network, b, Untargeted(labels))
        fooled.append(network.logits(found.images).argmax(1) != labels)
    assert 0 < fooled[0].sum() < 16
    assert (fooled[0] <= fooled[1]).all()
