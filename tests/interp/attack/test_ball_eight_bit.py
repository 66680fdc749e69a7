"""8-bit results: on the lattice, in the ball by integer arithmetic, judged by the PNG that leaves,
also when a row leaves early.
"""

import io
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.apgd_ascent import apgd_ascent
from interp.attack.ball import Ball
from interp.attack.base import Method, attack
from interp.attack.evaluate import AdversarialExamples
from interp.attack.goal import CROSS_ENTROPY, Goal
from interp.attack.pgd import fgsm, pgd
from interp.probe import Procedure, solve
from interp.seeds import Generators
from tests.interp.toys_networks import Counting, images, linear, tricky

ROWS = 6
# In levels (of 1/255): under one, whole ones, others, far.
LINF = [
    Fraction(n) for n in ("0", "0.1", "0.5", "0.999", "1", "1.5", "2", "4", "7.9", "8", "16", "255")
]
L2 = [Fraction(n) for n in ("0.5", "0.99", "1", "1.42", "5", "25.5", "127.5", "255", "9999")]
L1 = [Fraction(n) for n in ("0.5", "0.99", "1", "2.5", "100", "510", "3060", "99999")]
CASES = [(math.inf, n) for n in LINF] + [(2.0, n) for n in L2] + [(1.0, n) for n in L1]


def searched() -> Method:
    """APGD, a search of its own."""

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        reached = goal.objective(CROSS_ENTROPY)
        random = Ball(ball.x, ball.eps, ball.p, random_start=True, eight_bit=ball.eight_bit)
        return apgd_ascent(
            random, reached, 4, rows, lambda answer, chosen: goal.take(chosen).reached(answer)
        )

    return Method(search)


METHODS = {
    "fgsm": fgsm(),
    "pgd": pgd(steps=5),
    "last": pgd(steps=3, keep_best=False, stop_when_fooled=False),
    "momentum": pgd(steps=3, decay=1.0, restarts=2),
    "apgd": searched(),
}


def levels_of(image: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The levels of an image that is exactly on the lattice."""
    rounded: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = np.rint(
        image.double().numpy() * 255
    ).astype(np.int64)
    assert torch.equal(torch.from_numpy(rounded).to(image.dtype) / 255, image)
    assert rounded.min() >= 0
    assert rounded.max() <= 255
    return rounded


def through_png(image: Tensor) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(levels_of(image).astype(np.uint8).transpose(1, 2, 0)).save(file, "PNG")
    decoded = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    return torch.from_numpy(decoded.transpose(2, 0, 1).copy()).to(image.dtype) / 255


def inside(
    change: np.ndarray[tuple[int, ...], np.dtype[np.int64]], budget: Fraction, p: float
) -> bool:
    """Whether a change of levels is within the budget, in integers and fractions alone."""
    size = np.abs(change)
    if p == math.inf:
        return int(size.max()) <= budget
    return int(size.sum()) <= budget if p == 1 else int((size**2).sum()) <= budget**2


@pytest.mark.parametrize(
    ("p", "budget", "name"),
    [  # every radius by the attack that uses all of it, and some by the others
        (*case, name)
        for number, case in enumerate(CASES)
        for name in METHODS
        if name == "last" or number % 3 == 0
    ],
    ids=str,
)
def test_results_are_levels_within_epsilon_and_judged_by_their_png(
    p: float, budget: Fraction, name: str
) -> None:
    network = tricky(torch.float32)
    x = images(ROWS, dtype=torch.float32)
    x[0, :, :4], x[1, :, 4:] = 0.0, 1.0
    labels = network.logits(x).argmax(1)
    epsilon = float(np.float32(budget / 255))  # as it arrives
    found = solve(
        attack(x, labels, METHODS[name], epsilon=epsilon, p=p, eight_bit=True, noise_control=True),
        network,
    )
    centre = (x * 255).round() / 255
    for row in range(ROWS):
        change = levels_of(found.images[row]) - levels_of(centre[row])
        assert inside(change, budget, p)
        assert found.fixed[row] == (budget < 1)  # a change is one level at least, in any norm
        if budget < 1:
            assert not change.any()
        elif p == math.inf and budget < 128 and name in ("fgsm", "last"):
            assert np.abs(change).max() == math.floor(budget)  # there is freedom, and it is used
    decoded = torch.stack([through_png(image) for image in found.images])
    assert torch.equal(decoded, found.images)
    prediction = network.logits(decoded).argmax(1)
    assert torch.equal(prediction, found.prediction)
    assert torch.equal(found.succeeded, prediction != labels)
    assert any("under one 8-bit level" in warning for warning in found.warnings) == (0 < budget < 1)
    assert found.control is not None
    for size in (found.norm, found.control.norm):
        assert (
            size <= epsilon * (1 + (0 if p == math.inf else 1e-6))
        ).all()  # as a caller would compare


def test_every_row_has_a_freedom_of_its_own() -> None:
    network, x = tricky(torch.float32), images(ROWS, dtype=torch.float32)
    budgets = [Fraction(n) for n in ("0.5", "1", "8", "0.9", "2", "0")]
    epsilon = torch.tensor([float(n / 255) for n in budgets])
    found = solve(
        attack(
            x,
            None,
            pgd(steps=4, keep_best=False, stop_when_fooled=False),
            epsilon=epsilon,
            eight_bit=True,
        ),
        network,
    )
    assert found.fixed.tolist() == [n < 1 for n in budgets]
    for row, budget in enumerate(budgets):
        change = levels_of(found.images[row]) - levels_of((x[row] * 255).round() / 255)
        assert np.abs(change).max() == math.floor(budget)


def test_x_is_rounded_before_it_is_judged() -> None:
    """An image that is right only off the lattice is wrong from the start, and the other
    way round.
    """
    network = linear(
        torch.tensor([[0.0] * 3, [1.0, 0.0, 0.0]]), torch.tensor([100.1 / 255, 0.0]), (3, 1, 1)
    )
    x = torch.zeros(2, 3, 1, 1, dtype=torch.float64)
    x[0, 0], x[1, 0] = (
        100.05 / 255,
        100.2 / 255,
    )  # both are 100/255 when rounded, right: 100 < 100.1
    found = solve(
        attack(x, torch.tensor([0, 0]), pgd(steps=2), epsilon=0.5 / 255, eight_bit=True), network
    )
    assert not found.succeeded.any()
    assert found.clean_prediction.tolist() == [0, 0]
    found = solve(attack(x, torch.tensor([0, 0]), pgd(steps=2), epsilon=0.5 / 255), network)
    assert found.clean_prediction.tolist() == [0, 1]
    assert found.succeeded.tolist() == [True, True]


@pytest.mark.parametrize(("bar", "leaves_after"), [(100.4, 3), (101.4, None)])
def test_a_row_leaves_by_what_its_rounded_iterate_is_taken_for(
    bar: float, leaves_after: int | None
) -> None:
    """From 100 in steps of 0.4 levels; the unrounded iterate passes the bar before the rounded one,
    or the rounded one never does.
    """
    network = linear(
        torch.tensor([[0.0] * 3, [1.0, 0.0, 0.0]]), torch.tensor([bar / 255, 0.0]), (3, 1, 1)
    )
    x = torch.full((1, 3, 1, 1), 100 / 255, dtype=torch.float64)
    counting = Counting(network)
    method = pgd(step=0.4 / 255, steps=6, random_start=False)
    found: AdversarialExamples = solve(
        attack(x, torch.tensor([0]), method, epsilon=1.45 / 255, eight_bit=True), counting
    )
    asked = [levels_of(p.images[0])[0, 0, 0] for p in counting.probes if p.differentiates]
    # 100, 100.4, 100.8, 101.2, 101.45 ... are 100, 100, 101, 101, 101 ... as images
    assert asked == [100, 100, 101, 101, 101, 101][: leaves_after or 6]
    assert found.succeeded.tolist() == [leaves_after is not None]
    assert levels_of(found.images[0])[0, 0, 0] == 101
    without = solve(attack(x, torch.tensor([0]), method, epsilon=1.45 / 255), network)
    assert without.succeeded.all()  # the ball holds what fools, but no image of levels that does
