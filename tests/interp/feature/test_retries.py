"""Which of several optimizations of the same pictures is the better."""

import math

import torch

from interp.feature.retries import Candidates


def candidates(activation: list[float], held: list[float], number: int) -> Candidates:
    rows, a, h = len(held), torch.tensor(activation), torch.tensor(held)
    x, no = torch.full((rows, 3, 2, 2), float(number)), torch.zeros(rows, dtype=torch.bool)
    return Candidates(x, x, a, h, h, no, no, torch.full((rows,), number), torch.ones(rows))


def test_a_try_that_reaches_the_bar_goes_before_one_that_holds_out_better_below_it() -> None:
    first = candidates([1.0, 1.0, 5.0, 5.0, 1.0], [3.0, 3.0, 3.0, 3.0, 9.0], 0)
    other = candidates([4.0, 1.5, 6.0, 1.0], [2.0, 4.0, 2.0, 9.0], 1)
    best = first.best(other, torch.tensor([0, 1, 2, 3]), torch.full((5,), 3.5))
    assert best.restart.tolist() == [1, 1, 0, 0, 0]
    assert best.held_out.tolist() == [2, 4, 3, 3, 9]
    assert best.images[:, 0, 0, 0].tolist() == [1, 1, 0, 0, 0]


def test_coupled_pictures_are_taken_from_one_try() -> None:
    first, other = (
        candidates([1.0] * 6, [1.0, 5.0, 3.0, 3.0, 1.0, 1.0], 0),
        candidates([1.0] * 6, [4.0, 1.0, 4.0, 1.0, 2.0, 9.0], 1),
    )
    groups, bar = (
        torch.tensor([7, 7, 2, 2, 4, 4]),
        torch.tensor([math.nan, math.nan, 9.0, math.nan, math.nan, math.nan]),
    )
    best = first.best(other, torch.arange(6), bar, groups)
    assert best.restart.tolist() == [0, 0, 0, 0, 1, 1]
    assert best.held_out.tolist() == [1, 5, 3, 3, 2, 9]
    reaching = candidates([9.5, 0.0], [0.0, 0.0], 1)  # one failure less, though both hold out worse
    fewer = first.best(reaching, torch.tensor([2, 3]), bar, groups)
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
