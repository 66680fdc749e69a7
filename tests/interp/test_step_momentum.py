"""Momentum and sparse steps against loops written out."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.attack.ball import Ball
from interp.attack.losses import cross_entropy
from interp.norms import norm
from interp.probe import solve
from interp.seeds import generators
from interp.step import momentum, sign, sparse, unit
from tests.interp.toys_networks import images, plain, raw, tricky


def gradients(steps: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    scale = torch.tensor([1e-9, 1.0, 1e9], dtype=torch.float64).view(
        3, 1, 1, 1
    )  # what is normalized forgets it
    return [
        scale * torch.randn(3, 2, 4, 4, generator=rng, dtype=torch.float64) for _ in range(steps)
    ]


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0, 1.3])
def test_momentum_is_the_sum_of_the_paper(decay: float) -> None:
    z = torch.zeros(3, 2, 4, 4, dtype=torch.float64)
    by_sign, by_length = momentum(sign(0.1), decay)(z), momentum(unit(0.1), decay)(z)
    total = np.zeros((3, 32))
    for grad in gradients(6):
        flat = grad.numpy().reshape(3, 32)
        total = decay * total + flat / np.abs(flat).sum(1, keepdims=True)
        np.testing.assert_allclose(
            by_sign(z, grad).numpy().reshape(3, 32), 0.1 * np.sign(total), rtol=1e-12
        )
        expected = 0.1 * total / np.sqrt((total**2).sum(1, keepdims=True))
        np.testing.assert_allclose(
            by_length(z, grad).numpy().reshape(3, 32), expected, rtol=1e-9, atol=1e-15
        )


def test_mi_fgsm_is_that_of_a_plain_loop() -> None:
    network, x, labels = tricky(), images(3), torch.tensor([0, 1, 2])
    ball = Ball(x, x.new_full((3, 1, 1, 1), 0.03))
    climb = Ascent(ball, cross_entropy(labels), momentum(sign(0.01), 0.9), 8)
    summit = solve(ascend(climb, generators(0, 0, 3)), network)
    for row in range(3):
        z, g = x[row : row + 1].clone(), torch.zeros(1, 3, 8, 8, dtype=torch.float64)
        for _ in range(8):
            point = z.clone().requires_grad_()
            loss = -plain(raw(network), point)["logits"].log_softmax(1)[0, labels[row]]
            (grad,) = torch.autograd.grad(loss, point)
            g = 0.9 * g + grad / grad.abs().sum()
            z = (z + 0.01 * g.sign()).clamp(x[row] - 0.03, x[row] + 0.03).clamp(0, 1)
        torch.testing.assert_close(summit.images[row : row + 1], z, rtol=0, atol=1e-12)


def test_every_climb_has_a_momentum_of_its_own() -> None:
    rule, z = momentum(unit(0.1)), torch.zeros(3, 2, 4, 4, dtype=torch.float64)
    first, (grad, other) = rule(z), gradients(2)
    first(z, other)
    assert torch.equal(rule(z)(z, grad), momentum(unit(0.1))(z)(z, grad))
    torch.testing.assert_close(rule(z)(z, grad), unit(0.1)(z)(z, grad), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_momentum_minds_neither_tiny_nor_huge_nor_absent_gradients(dtype: torch.dtype) -> None:
    base = gradients(2)[0][1:2]
    for power in (-37, -30, 0, 30, 37) if dtype is torch.float32 else (-300, -170, 0, 170, 300):
        move = momentum(unit(0.3))(base.to(dtype))
        moved = move(base, (base / base.abs().max() * 10.0**power).to(dtype)).double()
        torch.testing.assert_close(
            moved,
            0.3 * base / norm(base, 2),
            rtol=0,
            atol=1e-6 if dtype is torch.float32 else 1e-12,
        )
        again = move(base, torch.zeros_like(base, dtype=dtype)).double()
        torch.testing.assert_close(again, moved, rtol=0, atol=1e-6)  # coasting
    assert not momentum(sign(0.3))(base)(base, torch.zeros_like(base)).any()


# Sparse steps


def by_hand(grad: Tensor, alpha: float, share: float) -> Tensor:
    """The largest entries one by one, with those that tie with the last of them."""
    values = grad.flatten().tolist()
    count = min(max(round(share * len(values)), 1), len(values))
    least = sorted((abs(v) for v in values), reverse=True)[count - 1]
    moved = [i for i, v in enumerate(values) if abs(v) >= least and v != 0]
    step = torch.zeros(len(values), dtype=grad.dtype)
    for i in moved:
        step[i] = math.copysign(alpha / len(moved), values[i])
    return step.view_as(grad)


@pytest.mark.parametrize("share", [1e-9, 0.05, 0.2, 0.5, 1.0])
def test_sparse_steps_are_those_of_a_plain_loop(share: float) -> None:
    (grad,) = gradients(1)
    grad = torch.cat(
        [grad, grad.sign(), grad * (grad.abs() > 1), torch.zeros_like(grad)]
    )  # ties, few gradients, none
    moved = sparse(0.7, share)(grad)(grad, grad)
    expected = torch.stack([by_hand(row, 0.7, share) for row in grad])
    torch.testing.assert_close(moved, expected, rtol=1e-12, atol=0)
    length = norm(moved, 1).flatten()
    some = grad.flatten(1).any(1)
    torch.testing.assert_close(
        length[some], torch.full((int(some.sum()),), 0.7, dtype=torch.float64)
    )
    assert not length[~some].any()


def test_shares_and_lengths_of_their_own_for_every_row() -> None:
    (grad,) = gradients(1)
    shares, lengths = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1, 1)
        for v in ([1 / 32, 0.25, 1.0], [0.1, 0.2, 0.3])
    )
    moved = sparse(lengths, shares)(grad)(grad, grad)
    assert moved.flatten(1).count_nonzero(1).tolist() == [1, 8, 32]
    torch.testing.assert_close(norm(moved, 1), lengths)
    single = sparse(0.2, 0.25)(grad[1:2])(grad[1:2], grad[1:2])
    torch.testing.assert_close(moved[1:2], single, rtol=1e-15, atol=0)


def test_one_pixel_is_the_steepest_step_of_all() -> None:
    (grad,) = gradients(1)
    moved = sparse(0.5, 1e-9)(grad)(grad, grad)
    gained = (moved * grad).flatten(1).sum(1)
    torch.testing.assert_close(
        gained, 0.5 * norm(grad, math.inf).flatten()
    )  # eps * ||g||_inf, the dual norm
