"""Optimizations of the same pictures: when there is another, and which of several is the better."""

import math
from dataclasses import replace

import pytest
import torch

from interp.feature.diversity import diversity
from interp.feature.params.fourier import FourierSpec
from interp.feature.retries import Candidates, RestartProgress, restart_seed
from interp.feature.settings import PictureSettings
from interp.feature.visualize import visualize
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import solve
from tests.interp.feature.toys_feature import (
    LIKE,
    QUICK,
    draw,
    gated,
    seed_of,
)
from tests.interp.toys_networks import Counting, linear, tricky


def candidates(activation: list[float], held: list[float], number: int) -> Candidates:
    rows, a, h = len(held), torch.tensor(activation), torch.tensor(held)
    x, no = torch.full((rows, 3, 2, 2), float(number)), torch.zeros(rows, dtype=torch.bool)
    return Candidates(x, x, a, h, h, no, no, torch.full((rows,), number), torch.ones(rows))


def test_reaching_the_threshold_counts_before_the_held_out_mean() -> None:
    first = candidates([1.0, 1.0, 5.0, 5.0, 1.0], [3.0, 3.0, 3.0, 3.0, 9.0], 0)
    other = candidates([4.0, 1.5, 6.0, 1.0], [2.0, 4.0, 2.0, 9.0], 1)
    best = first.best(other, torch.tensor([0, 1, 2, 3]), torch.full((5,), 3.5))
    assert best.restart.tolist() == [1, 1, 0, 0, 0]
    assert best.held_out.tolist() == [2, 4, 3, 3, 9]
    assert best.images[:, 0, 0, 0].tolist() == [1, 1, 0, 0, 0]


def test_coupled_pictures_are_taken_from_one_optimization() -> None:
    first, other = (
        candidates([1.0] * 6, [1.0, 5.0, 3.0, 3.0, 1.0, 1.0], 0),
        candidates([1.0] * 6, [4.0, 1.0, 4.0, 1.0, 2.0, 9.0], 1),
    )
    groups, thresholds = (
        torch.tensor([7, 7, 2, 2, 4, 4]),
        torch.tensor([math.nan, math.nan, 9.0, math.nan, math.nan, math.nan]),
    )
    best = first.best(other, torch.arange(6), thresholds, groups)
    assert best.restart.tolist() == [0, 0, 0, 0, 1, 1]
    assert best.held_out.tolist() == [1, 5, 3, 3, 2, 9]
    reaching = candidates([9.5, 0.0], [0.0, 0.0], 1)  # one failure less, though both hold out worse
    fewer = first.best(reaching, torch.tensor([2, 3]), thresholds, groups)
    assert fewer.restart.tolist() == [0, 0, 1, 1, 0, 0]


def test_a_picture_that_cannot_be_measured_failed() -> None:
    first = candidates([math.nan, math.inf, 1.0, math.nan], [math.nan, 1.0, math.nan, math.nan], 0)
    assert first.failed(None).all()
    best = first.best(
        candidates([1.0, 1.0, 1.0, math.nan], [-5.0, -5.0, -5.0, math.nan], 1),
        torch.arange(4),
        None,
    )
    assert best.restart.tolist() == [1, 1, 1, 0]
    below = first.best(candidates([1.0] * 4, [-5.0] * 4, 1), torch.arange(4), torch.full((4,), 2.0))
    assert below.restart.tolist() == [1, 0, 1, 1]


def test_a_unit_that_is_dead_from_one_seed_is_found_from_the_next() -> None:
    seed, units = seed_of(False, False, True), [LayerPath("units", 0), LayerPath("units", 1)]
    rows = [(seed, 0), (seed, 1)]
    settings = PictureSettings((3, 8, 8), steps=30, learning_rate=0.1, transforms=())
    once = draw(gated(), units, rows, settings=settings, retries=1)
    assert once.dead.tolist() == [True, False]
    assert once.activation[0] == 0
    assert once.certificate.attempts.tolist() == [2, 1]
    found = draw(gated(), units, rows, settings=settings)
    assert not found.dead.any()
    assert found.activation[0] > 0.55
    assert found.certificate.attempts.tolist() == [3, 1]
    assert found.certificate.seeds == [restart_seed(seed, 2), seed]
    assert found.certificate.learning_rates.tolist() == [0.4, 0.1]
    anew = PictureSettings(
        (3, 8, 8), steps=30, learning_rate=found.certificate.learning_rates[0].item(), transforms=()
    )
    again = draw(gated(), units[:1], [(found.certificate.seeds[0], 0)], settings=anew, retries=0)
    torch.testing.assert_close(again.images[0], found.images[0], rtol=0, atol=1e-12)


def test_what_needs_more_contrast_is_given_it_by_retries_and_says_so() -> None:
    sides = torch.tensor([1.0] * 4 + [-1.0] * 4, dtype=torch.float64) / 96
    weight = sides.expand(1, 3, 8, 8).reshape(1, -1)  # how much brighter it is on the left
    network, unit = linear(weight, torch.zeros(1), (3, 8, 8)), [LayerPath("logits", 0)]
    settings = PictureSettings((3, 8, 8), steps=60, learning_rate=0.5, transforms=())
    most = [2 * torch.tensor(contrast).sigmoid().item() - 1 for contrast in (1.2, 2.4)]
    threshold = torch.tensor([most[0] + 0.05], dtype=torch.float64)
    found = draw(network, unit, [(0, 0)], settings=settings, thresholds=threshold)
    certificate = found.certificate
    assert certificate.attempts.tolist() == [2]
    assert certificate.contrasts == [2.4]
    assert threshold.item() < found.activation.item() <= most[1] + 1e-9
    again = replace(
        settings,
        learning_rate=certificate.learning_rates.item(),
        parameterization=FourierSpec(contrast=certificate.contrasts[0]),
    )
    same = draw(network, unit, [(certificate.seeds[0], 0)], settings=again, retries=0)
    torch.testing.assert_close(same.images, found.images, rtol=0, atol=1e-12)
    once = draw(network, unit, [(0, 0)], settings=settings, retries=0)
    assert once.certificate.contrasts == [1.2]
    assert once.activation.item() == pytest.approx(most[0], abs=0.02)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_what_stays_below_its_threshold_is_optimized_again_as_often_as_set(retries: int) -> None:
    counting, units = Counting(tricky()), [LayerPath("down", unit) for unit in range(3)]
    thresholds = torch.tensor([math.nan, 1e9, -1e9], dtype=torch.float64)
    found = draw(
        counting, units, [(5, row) for row in range(3)], retries=retries, thresholds=thresholds
    )
    assert found.certificate.attempts.tolist() == [1, 1 + retries, 1]
    reported = [p.progress for p in counting.probes if isinstance(p.progress, RestartProgress)]
    assert [(t.number, t.step, t.rows) for t in reported] == [
        (attempt, step, (0, 1, 2) if attempt == 1 else (1,))
        for attempt in range(1, retries + 2)
        for step in range(1, 9)
    ]
    assert all(len(t.preview()) == len(t.rows) for t in reported)


def test_the_optimization_with_the_highest_held_out_mean_is_returned() -> None:
    network, unit = tricky(), LayerPath("down", 2)
    thresholds = torch.tensor([1e9], dtype=torch.float64)
    found = draw(network, [unit], [(7, 0)], retries=2, thresholds=thresholds)
    optimizations = []
    for number, factor in enumerate((1, 2, 4)):
        settings = PictureSettings(
            (3, 8, 8),
            steps=8,
            learning_rate=0.1 * factor,
            parameterization=FourierSpec().relaxed(number),
        )
        optimizations.append(
            draw(
                network,
                [unit],
                [(restart_seed(7, number), 0)],
                settings=settings,
                retries=0,
            )
        )
    best = max(optimizations, key=lambda each: each.certificate.held_out.item())
    torch.testing.assert_close(found.images, best.images, rtol=0, atol=1e-12)
    assert found.certificate.seeds == best.certificate.seeds
    assert torch.equal(found.certificate.learning_rates, best.certificate.learning_rates)
    assert found.certificate.attempts.item() == 3


def test_a_unit_that_was_lowered_to_0_is_not_optimized_again() -> None:
    settings = PictureSettings((3, 8, 8), steps=30, learning_rate=0.3, transforms=())
    seed = seed_of(True)
    for sign, attempts in ((-1.0, 1), (1.0, 3)):
        objective = sign * activation([LayerPath("units", 0)])
        rows = [(seed if sign < 0 else seed_of(False, False, False), 0)]
        found = solve(visualize(objective, rows, LIKE, settings), gated())
        assert found.activation.item() == 0
        assert found.certificate.attempts.item() == attempts


def test_further_seeds_are_reported_and_change_nothing_else() -> None:
    network, units, rows = (
        tricky(),
        [LayerPath("down", 1), LayerPath("stem", 4)],
        [(3, 0), (2**64 - 1, 1)],
    )
    plain, spread = (draw(network, units, rows, further_seeds=seeds) for seeds in (0, 2))
    assert torch.equal(plain.images, spread.images)
    assert spread.certificate.seed_activations.shape == (2, 2)
    assert spread.certificate.attempts.tolist() == [1, 1]
    assert len({spread.activation[0].item(), *spread.certificate.seed_activations[0].tolist()}) == 3
    assert all(0 <= restart_seed(seed, n) < 2**64 for seed in (0, 2**64 - 1) for n in range(20))


def test_coupled_pictures_are_optimized_again_with_their_group_and_never_split() -> None:
    counting, groups = Counting(tricky()), torch.tensor([0, 1, 0, 1])
    objective = activation([LayerPath("down", 3)] * 4) + diversity("stem", groups)
    thresholds = torch.tensor([math.nan, math.nan, 1e9, math.nan], dtype=torch.float64)
    found = solve(
        visualize(
            objective,
            [(0, row) for row in range(4)],
            LIKE,
            replace(QUICK, retries=1),
            thresholds=thresholds,
        ),
        counting,
    )
    assert found.certificate.attempts.tolist() == [2, 1, 2, 1]
    assert not any(p.splittable for p in counting.probes)
    assert {len(p.images) for p in counting.probes} == {4, 2}
    alone = objective.take(torch.tensor([0, 2]))
    pair = solve(
        visualize(
            alone, [(0, 0), (0, 2)], LIKE, replace(QUICK, retries=1), thresholds=thresholds[[0, 2]]
        ),
        tricky(),
    )
    torch.testing.assert_close(pair.images, found.images[[0, 2]], rtol=0, atol=1e-9)
