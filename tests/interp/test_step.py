"""Step rules against torch's own Adam and against their definitions."""

import math

import pytest
import torch
from torch import Tensor

from interp.norms import norm
from interp.step import Step, adam, momentum, sign, sparse, unit


def gradients(steps: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    scale = torch.tensor([1e-6, 1.0, 1e6], dtype=torch.float64).view(
        3, 1, 1, 1
    )  # Adam hardly minds
    return [
        scale * torch.randn(3, 2, 4, 4, generator=rng, dtype=torch.float64) for _ in range(steps)
    ]


@pytest.mark.parametrize("rate", [0.05, 1.0])
def test_adam_is_that_of_torch(rate: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(3, 2, 4, 4, dtype=torch.float64))
    optimizer = torch.optim.Adam([parameter], lr=rate, maximize=True)
    z = parameter.detach().clone()
    move = adam(rate)(z)
    for grad in gradients(30):
        parameter.grad = grad.clone()
        optimizer.step()
        z = z + move(z, grad)
        torch.testing.assert_close(z, parameter.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("power", [-30, 0, 40])
def test_relative_adam_does_not_mind_the_unit_of_gradients(power: int) -> None:
    z = torch.zeros(3, 2, 4, 4)
    plain, scaled = adam(0.05, relative=True)(z), adam(0.05, relative=True)(z)
    for grad in gradients(5):
        grad[2, 1] = 0
        wanted = plain(z, grad.float())
        torch.testing.assert_close(
            scaled(z, grad.float() * 2.0**power), wanted, rtol=1e-5, atol=1e-9
        )
        assert wanted[:2].abs().min() > 0
        assert not wanted[2, 1].any()
    assert not adam(0.05, relative=True)(z)(z, torch.zeros_like(z)).any()


@pytest.mark.parametrize("shared", [0.25, 0.5, 1.0])
def test_a_shared_divisor_is_the_weighted_geometric_mean_of_both(shared: float) -> None:
    z = torch.zeros(3, 2, 4, 4, dtype=torch.float64)
    plain, move = adam(0.1, tiny=0)(z), adam(0.1, tiny=0, shared=shared)(z)
    square = torch.zeros_like(z)
    for step, grad in enumerate(gradients(6), 1):
        square = 0.999 * square + 0.001 * grad**2
        own = (square / (1 - 0.999**step)).sqrt()
        row = (square / (1 - 0.999**step)).flatten(1).mean(1).sqrt().view(3, 1, 1, 1)
        # The first moment is Adam's own: what Adam divides by its divisor, by the mean instead.
        expected = plain(z, grad) * own / (shared * row.log() + (1 - shared) * own.log()).exp()
        torch.testing.assert_close(move(z, grad), expected, rtol=1e-9, atol=0)


def test_every_climb_has_an_adam_of_its_own() -> None:
    rule, z = adam(0.1), torch.zeros(3, 2, 4, 4, dtype=torch.float64)
    first, (grad, other) = rule(z), gradients(2)
    first(z, other)
    assert torch.equal(rule(z)(z, grad), adam(0.1)(z)(z, grad))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_steps_have_their_length_whatever_the_gradients(dtype: torch.dtype) -> None:
    direction = gradients(1)[0] / norm(gradients(1)[0], 2)
    for power in (
        (-37, -30, -22, -10, 0, 10, 30) if dtype is torch.float32 else (-300, -170, 0, 170, 300)
    ):
        moved = unit(0.3)(direction)(direction, (direction * 10.0**power).to(dtype)).double()
        torch.testing.assert_close(
            moved, 0.3 * direction, rtol=0, atol=1e-6 if dtype is torch.float32 else 1e-12
        )
    assert not unit(0.3)(direction)(direction, torch.zeros_like(direction)).any()


def test_signs_and_rates_of_their_own_for_every_row() -> None:
    (grad,) = gradients(1)
    grad[0, 0] = 0
    rates = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64).view(3, 1, 1, 1)
    assert torch.equal(
        sign(0.5)(grad)(grad, grad),
        torch.where(grad > 0, 0.5, torch.where(grad < 0, -0.5, 0.0)).double(),
    )
    assert norm(sign(rates)(grad)(grad, grad), math.inf).flatten().tolist() == [0.1, 0.2, 0.3]
    torch.testing.assert_close(norm(unit(rates)(grad)(grad, grad), 2), rates)


@pytest.mark.parametrize(
    "rule", [sign(0.1), unit(0.1), sparse(0.1, 0.05), momentum(sign(0.1)), momentum(unit(0.1))]
)
def test_entries_without_a_number_stay_where_they_are_and_stop_no_other(rule: Step) -> None:
    (grad,) = gradients(1)
    gap, without = grad.clone(), grad.clone()
    gap[1, 0, 2, 3], without[1, 0, 2, 3] = math.nan, 0.0
    assert torch.equal(rule(grad)(grad, gap), rule(grad)(grad, without))
    assert rule(grad)(grad, gap)[1].any()
