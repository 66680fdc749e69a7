"""Penalties against what loops over pixels compute, and what they and operators do to a climb."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interp.ascent import Ascent, AscentResult, ascend
from interp.attack.ball import Ball
from interp.attack.losses import cross_entropy
from interp.feature.operator import ClipSmallNorm, GaussianBlur
from interp.feature.params.fourier import Fourier
from interp.feature.params.pixels import Pixels
from interp.feature.penalty import (
    L1Penalty,
    L2Penalty,
    Penalty,
    PenaltySum,
    TotalVariationPenalty,
)
from interp.feature.spatial import RandomAffine
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import Answer, solve
from interp.seeds import generators
from interp.step import Move, adam
from tests.interp.toys_networks import Counting, images, tricky

LIKE = torch.zeros((), dtype=torch.float64)


def by_hand(image: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[str, float]:
    """Each penalty of one image (C, H, W), pixel by pixel."""
    channels, height, width = image.shape
    places = [(c, i, j) for c in range(channels) for i in range(height) for j in range(width)]
    steps = [abs(image[c, i + 1, j] - image[c, i, j]) for c, i, j in places if i + 1 < height]
    steps += [abs(image[c, i, j + 1] - image[c, i, j]) for c, i, j in places if j + 1 < width]
    return {
        "l1": -sum(abs(image[p] - 0.5) for p in places) / len(places),
        "l2": -sum((image[p] - 0.5) ** 2 for p in places) / len(places),
        "total variation": -sum(steps) / len(steps),
    }


PENALTIES: dict[str, Callable[[float], Penalty]] = {
    "l1": L1Penalty,
    "l2": L2Penalty,
    "total variation": TotalVariationPenalty,
}


NO_SIZE = torch.zeros(1)  # which these penalties do not look at


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_are_sums_over_pixels(name: str) -> None:
    x = images(3, 5)[:, :, :, :4]
    found = PENALTIES[name](2.5)(x, NO_SIZE)
    expected = [2.5 * by_hand(image)[name] for image in x.numpy()]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert torch.autograd.gradcheck(
        lambda z: PENALTIES[name](2.5)(z, NO_SIZE), (x.clone().requires_grad_(),)
    )
    gray = torch.full_like(x, 0.5)
    assert not PENALTIES[name](1)(gray, NO_SIZE).any()


def test_penalties_add_up() -> None:
    x = images(2)
    torch.testing.assert_close(
        PenaltySum([L1Penalty(1), L2Penalty(3), TotalVariationPenalty(0.5)])(x, NO_SIZE),
        sum(p(x, NO_SIZE) for p in (L1Penalty(1), L2Penalty(3), TotalVariationPenalty(0.5))),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_is_left_alone(channels: int) -> None:
    x = images(2, channels=channels + 1)
    for penalty in PENALTIES.values():
        torch.testing.assert_close(penalty(1.0)(x, NO_SIZE), penalty(1.0)(x[:, :channels], NO_SIZE))
    cut = ClipSmallNorm(0.3, every=1)(x, 1)
    assert torch.equal(cut[:, channels:], x[:, channels:])
    assert torch.equal(cut[:, :channels], ClipSmallNorm(0.3, every=1)(x[:, :channels], 1))


def climb(steps: int = 30, **options: object) -> Ascent:
    paths = [LayerPath("down", row) for row in range(2)]
    return Ascent(
        Fourier((3, 12, 12), LIKE),
        activation(paths),
        adam(0.05),
        steps,
        RandomAffine(),
        **options,  # type: ignore[arg-type]
    )


def reached(problem: Ascent) -> AscentResult:
    return solve(ascend(problem, generators(0, 0, 2)), tricky(size=12))


@pytest.mark.parametrize("name", PENALTIES)
def test_a_huge_weight_flattens_the_picture(name: str) -> None:
    free = by_hand(reached(climb()).images[0].numpy())[name]
    assert free < -0.03
    tamed = by_hand(reached(climb(penalty=PENALTIES[name](1e6))).images[0].numpy())[name]
    assert tamed > free / 10


def test_the_climb_is_along_score_and_penalty() -> None:
    """One step of size 1 along the gradient itself, against that of the sum written out."""
    network, space, weight = tricky(size=12), Pixels((3, 12, 12), LIKE, 1.0), 300.0
    objective = activation([LayerPath("down", 1)])
    problem = Ascent(
        space, objective, lambda start: lambda z, grad: grad, 1, penalty=L2Penalty(weight)
    )
    summit = solve(ascend(problem, generators(0, 0, 1)), network)
    z = space.start(generators(0, 0, 1)).requires_grad_()
    x = z.sigmoid()
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1)
        for v in ((0.48, 0.45, 0.41), (0.23, 0.22, 0.24))
    )
    found: list[Tensor] = []
    handle = network.module.get_submodule("down").register_forward_hook(
        lambda _, __, output: found.append(output)
    )
    network.module((x - mean) / std)
    handle.remove()
    total = found[0][0, 1].mean() - weight * (x - 0.5).square().mean()
    (slope,) = torch.autograd.grad(total, z)
    torch.testing.assert_close(summit.images, (z + slope).detach().sigmoid(), rtol=0, atol=1e-9)


def leaving(problem: Ascent, after: int) -> Ascent:
    """Row 0 is done after so many looks, and leaves."""
    looks = 0

    def done(_: Answer, rows: Tensor) -> Tensor:
        nonlocal looks
        looks += 1
        return (rows == 0) & (looks >= after)

    return Ascent(**{**vars(problem), "done": done, "stop_when_done": True})


def test_rows_that_left_are_neither_pushed_nor_operated_on() -> None:
    def tamed(steps: int) -> Ascent:
        return climb(steps, penalty=L2Penalty(1e3), operator=GaussianBlur(0.2, every=1), trace=True)

    short, left = reached(tamed(4)), reached(leaving(tamed(9), after=5))
    torch.testing.assert_close(left.images[0], short.images[0], rtol=0, atol=1e-12)
    whole = reached(tamed(9))
    torch.testing.assert_close(left.images[1], whole.images[1], rtol=0, atol=1e-12)
    assert whole.attention is not None
    assert left.attention is not None
    torch.testing.assert_close(left.attention[1], whole.attention[1], rtol=0, atol=1e-12)
    assert (whole.attention[0] > left.attention[0]).any()


def test_the_score_of_the_network_decides_what_is_kept() -> None:
    network, x = tricky(), images(4)
    labels = network.logits(x).argmax(1)
    ball = Ball(x, x.new_full((4, 1, 1, 1), 0.05), math.inf)

    def downhill(start: Tensor) -> Move:
        return lambda z, grad: 0.01 * grad.sign()

    problem = Ascent(
        ball,
        cross_entropy(labels),
        downhill,
        5,
        keep_best=True,
        penalty=lambda z, _: 1e6 * z.flatten(1).sum(1),
    )
    counting = Counting(network)
    summit = solve(ascend(problem, generators(0, 0, 4)), counting)
    loss = nn.CrossEntropyLoss(reduction="none")
    seen = torch.stack([loss(network.logits(probe.images), labels) for probe in counting.probes])
    kept = loss(network.logits(summit.images), labels)
    torch.testing.assert_close(kept, seen.amax(0), rtol=0, atol=1e-12)
    assert (kept > seen[-1]).any()  # the penalty led elsewhere


def test_an_operator_sets_the_picture_from_which_the_climb_goes_on() -> None:
    counting = Counting(tricky(size=12))
    target = images(2, 12) * 0.8 + 0.1
    problem = Ascent(
        Fourier((3, 12, 12), LIKE),
        activation([LayerPath("down", 1)] * 2),
        adam(0.05),
        3,
        operator=lambda x, step: target if step == 2 else x,
    )
    solve(ascend(problem, generators(0, 0, 2)), counting)
    torch.testing.assert_close(counting.probes[2].images, target, rtol=0, atol=1e-9)


def test_a_trace_adds_up_the_gradients_of_the_pictures() -> None:
    counting = Counting(tricky(size=12))
    problem = Ascent(
        Fourier((3, 12, 12), LIKE),
        activation([LayerPath("down", 1), LayerPath("twice", 0)]),
        adam(0.05),
        4,
        trace=True,
    )
    summit = solve(ascend(problem, generators(0, 0, 2)), counting)
    answers = counting.oracle.answer(counting.probes)
    expected = sum(a.grad.abs().sum(1, keepdim=True) for a in answers if a.grad is not None)
    assert summit.attention is not None
    torch.testing.assert_close(summit.attention, expected, rtol=0, atol=1e-12)
    assert reached(climb()).attention is None


def test_a_penalty_does_not_wake_the_dead() -> None:
    objective = activation([LayerPath("down", 1)]) * 0.0
    problem = Ascent(Fourier((3, 12, 12), LIKE), objective, adam(0.05), 3, penalty=L2Penalty(1.0))
    assert not solve(ascend(problem, generators(0, 0, 1)), tricky(size=12)).moved.any()
