"""Which rows Square gives up: by a script of distances against the rule's own words, and without a
change of verdicts.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.attack.goal import Untargeted, drive
from interp.attack.square import square_ascent, square_search
from interp.layer import LayerPath
from interp.norms import norm
from interp.objective import activation
from interp.probe import Answer, Probe, solve
from interp.seeds import generators
from tests.interp.attack.test_square import EPSILON, ball, norms
from tests.interp.toys_networks import images, tricky


class Scripted:
    """An oracle that has rows come nearer to another class as a table says, (rows, queries); a row
    is known by its label.
    """

    def __init__(self, distance: Tensor) -> None:
        self.distance, self.asked = distance, [0] * len(distance)

    def answer(self, probes: list[Probe]) -> list[Answer]:
        (probe,) = probes
        assert probe.objective is not None
        labels = torch.as_tensor(probe.objective.rows[0])
        logits = torch.zeros(len(labels), len(self.distance) + 1, dtype=torch.float64)
        for i, row in enumerate(labels.tolist()):
            logits[i, row] = self.distance[row, self.asked[row]]
            self.asked[row] += 1
        return [Answer(probe.objective({"logits": logits}), None, logits)]


def asked(distance: list[float], queries: int) -> int:
    """How many queries a row makes, by the rule's own words."""
    apart = max(queries // 20, 250)
    for made in range(1, queries + 1):
        nearest = min(distance[:made])
        if nearest < 0:
            return made
        if made % apart == 0 and made >= 4 * apart:
            pace = (min(distance[: made - 3 * apart]) - nearest) / (3 * apart)
            if nearest > 3 * pace * (queries - made):
                return made
    return queries


@pytest.mark.parametrize("queries", [1700, 5400])
def test_rows_that_are_too_slow_by_far_are_given_up(queries: int) -> None:
    rng = np.random.default_rng(0)
    rows = 24
    descent = rng.exponential(size=(rows, queries)) * (rng.random((rows, queries)) < 0.05)
    descent *= (
        np.linspace(1, rng.random(rows), queries).T ** 3
    )  # slower towards the end, each by another factor
    distance = np.linspace(0.9, 6, rows)[:, None] - 3 * descent.cumsum(1) / descent.sum(
        1, keepdims=True
    )
    distance += rng.exponential(0.1, size=(rows, queries))  # most proposals lead away again
    oracle = Scripted(torch.from_numpy(distance))
    b, goal = ball(images(rows), 0.05, math.inf), Untargeted(torch.arange(rows))
    found = solve(square_ascent(b, goal, queries, generators(0, 0, rows), give_up=True), oracle)
    expected = [asked(row, queries) for row in distance.tolist()]
    assert oracle.asked == expected
    assert found.queries == sum(expected)
    there = (distance < 0).any(1)
    assert 4 <= there.sum() <= 20
    assert sum(n < queries for n in np.array(expected)[~there]) >= 4
    assert len(set(np.array(expected)[~there].tolist())) >= 3


def test_by_itself_no_row_is_given_up() -> None:
    oracle = Scripted(torch.ones(2, 700, dtype=torch.float64))
    solve(
        square_ascent(
            ball(images(2), 0.05, math.inf), Untargeted(torch.arange(2)), 700, generators(0, 0, 2)
        ),
        oracle,
    )
    assert oracle.asked == [700, 700]


@norms
def test_giving_up_spares_queries_and_changes_no_verdict(p: float) -> None:
    network, x = tricky(), images(6)
    labels = network.logits(x).argmax(1)
    b = ball(x, EPSILON[p] * torch.linspace(0.05, 1.5, 6, dtype=torch.float64), p)
    runs = [
        solve(square_search(1250, give_up=g)(b, Untargeted(labels), generators(0, 0, 6)), network)
        for g in (False, True)
    ]
    fooled = [network.logits(run.images).argmax(1) != labels for run in runs]
    assert 1 <= fooled[0].sum() <= 5
    assert torch.equal(*fooled)
    assert torch.equal(runs[0].images[fooled[0]], runs[1].images[fooled[1]])
    assert runs[1].queries < runs[0].queries
    assert (norm(runs[1].images - x, p).flatten() <= b.eps.flatten() * (1 + 1e-9)).all()


def test_the_distance_to_a_units_level_is_in_its_activation() -> None:
    network, x = tricky(), images(4)
    unit = activation([LayerPath("down", 3)] * 4)
    clean = network.activations(x, ["down"])["down"][:, 3].mean((1, 2))
    level = torch.tensor([1e9, 1e9, 0.0, 0.0], dtype=torch.float64) + clean + 1e-6
    goal = replace(drive(unit, clean), level=level)
    found = solve(
        square_search(1250, give_up=True)(ball(x, 0.05, math.inf), goal, generators(0, 0, 4)),
        network,
    )
    reached = network.activations(found.images, ["down"])["down"][:, 3].mean((1, 2)) > level
    assert reached.tolist() == [False, False, True, True]
    assert found.queries < 2 * 1250
