"""Directions against numpy, and against a linear network whose best picture is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.feature.direction import (
    MIN_COSINE,
    Comparison,
    cosine,
    direction,
    dot,
    dot_cosine,
    interpolation,
)
from interp.feature.params.pixels import Pixels
from interp.layer import LayerPath
from interp.objective import activation
from interp.objective_batch import join
from interp.probe import Probe, solve
from interp.seeds import generators
from interp.step import adam
from tests.interp.toys_networks import images, linear, tricky

COMPARISONS = pytest.mark.parametrize("comparison", [dot, cosine, dot_cosine])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(h: Tensor, v: Tensor, comparison: Comparison, power: float) -> float:
    """The mean over the positions of h (K, h, w), in plain Python."""
    scores: list[float] = []
    for position in h.flatten(1).T.numpy():
        along = float(position @ v.numpy()) / math.sqrt(float(v @ v))
        angle = along / math.sqrt(float(position @ position))
        if comparison is dot:
            scores.append(along)
        else:
            scores.append(
                angle if comparison is cosine else along * max(MIN_COSINE, angle) ** power
            )
    return sum(scores) / len(scores)


@COMPARISONS
def test_comparisons_are_those_of_the_definition(comparison: Comparison) -> None:
    h, vectors = drawn(3, 5, 2, 4), drawn(3, 5, seed=1)
    for power in (1.0, 3.5):
        expected = [by_hand(h[row], vectors[row], comparison, power) for row in range(3)]
        np.testing.assert_allclose(
            direction("a", vectors, comparison, power)({"a": h}), expected, rtol=1e-12
        )
        at = [by_hand(h[row, :, 1:2, 3:4], vectors[row], comparison, power) for row in range(3)]
        np.testing.assert_allclose(
            direction("a", vectors, comparison, power, (1, 3))({"a": h}), at, rtol=1e-12
        )
        flat = [
            by_hand(h[row, :, 0, :1, None], vectors[row], comparison, power) for row in range(3)
        ]
        np.testing.assert_allclose(
            direction("a", vectors, comparison, power)({"a": h[:, :, 0, 0]}), flat, rtol=1e-12
        )


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_lengths_of_vectors_do_not_matter_and_a_cosine_ignores_that_of_the_activation_too(
    seed: int, factor: float
) -> None:
    h, vectors = drawn(2, 4, 3, 3, seed=seed), drawn(2, 4, seed=seed + 1)
    for comparison in (dot, cosine, dot_cosine):
        expected = direction("a", vectors, comparison)({"a": h})
        torch.testing.assert_close(
            direction("a", vectors * factor, comparison)({"a": h}), expected, rtol=1e-10, atol=1e-12
        )
    angle = direction("a", vectors, cosine)
    torch.testing.assert_close(angle({"a": h * factor}), angle({"a": h}), rtol=1e-10, atol=1e-12)
    assert (angle({"a": h}).abs() <= 1).all()
    aligned = vectors[:, :, None, None].expand_as(h)
    torch.testing.assert_close(
        angle({"a": aligned}), torch.ones(2, dtype=torch.float64), rtol=1e-12, atol=0
    )


def test_a_direction_is_the_weighted_sum_of_channels() -> None:
    network, x, weights = (
        tricky(),
        images(2),
        torch.tensor([3.0, 0, -4.0, 0, 0, 0, 0, 0], dtype=torch.float64),
    )
    channels = 0.6 * activation([LayerPath("stem", 0)] * 2) - 0.8 * activation(
        [LayerPath("stem", 2)] * 2
    )
    along, of_sum = network.answer(
        [Probe(x, direction("stem", weights.expand(2, -1))), Probe(x, channels)]
    )
    assert along.score is not None
    assert along.grad is not None
    torch.testing.assert_close(along.score, of_sum.score, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(along.grad, of_sum.grad, rtol=1e-10, atol=1e-14)


def test_the_best_picture_of_a_linear_direction_is_the_sign_of_its_weights() -> None:
    weight = drawn(6, 3 * 4 * 4)
    network, vector = linear(weight, torch.zeros(6), (3, 4, 4)), drawn(1, 6, seed=1)
    pull = (vector / vector.norm()) @ weight  # (1, 48): the gradient with respect to the pixels
    best = pull.clamp_min(0).sum()  # every pixel 0 or 1
    climb = Ascent(Pixels((3, 4, 4), vector), direction("1", vector), adam(0.3), 120)
    summit = solve(ascend(climb, generators(0, 0, 1)), network)
    (answer,) = network.answer([Probe(summit.images, direction("1", vector), gradient=False)])
    assert answer.score is not None
    assert answer.score.item() <= best + 1e-9
    assert answer.score.item() > 0.99 * best
    assert torch.equal(summit.images.flatten(1) > 0.5, pull > 0)


@COMPARISONS
def test_gradients_are_those_of_finite_differences(comparison: Comparison) -> None:
    h = drawn(2, 3, 2, 2).requires_grad_()
    objective = direction("a", drawn(2, 3, seed=1), comparison, 2.0)
    assert torch.autograd.gradcheck(lambda a: objective({"a": a}), h)


def test_where_nothing_is_active_cosine_and_gradient_are_finite() -> None:
    h = torch.zeros(1, 3, 2, 2, requires_grad=True)
    score = direction("a", torch.ones(1, 3), cosine)({"a": h})
    (grad,) = torch.autograd.grad(score.sum(), h)
    assert score.item() == 0
    assert grad.isfinite().all()
    assert (grad > 0).all()


def test_separate_requests_of_a_kind_are_kin() -> None:
    first, second = direction("a", drawn(1, 3), cosine), direction("a", drawn(2, 3), cosine, 4.0)
    assert first.is_batchable_with(second)
    assert join([first, second])({"a": drawn(3, 3, 2, 2)}).shape == (3,)
    assert not first.is_batchable_with(direction("a", drawn(1, 3)))
    assert not first.is_batchable_with(direction("a", drawn(1, 3), cosine, position=(0, 0)))


def test_a_vector_without_direction_is_refused() -> None:
    for value in (0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="must be finite and not 0"):
            direction("a", torch.full((1, 4), value))


def test_interpolation_goes_from_one_objective_to_the_other() -> None:
    seen = {"a": drawn(3, 4, 2, 2), "b": drawn(3, 5)}
    first, second = (
        direction("a", drawn(3, 4)),
        activation([LayerPath("b", unit) for unit in (0, 4, 2)]),
    )
    shares = torch.tensor([0, 0.25, 1], dtype=torch.float64)
    between = interpolation(first, second, shares)
    start, end = first(seen), second(seen)
    torch.testing.assert_close(
        between(seen),
        torch.stack([start[0], 0.75 * start[1] + 0.25 * end[1], end[2]]),
        rtol=1e-12,
        atol=0,
    )
    assert set(between.layers) == {"a", "b"}
    index = torch.tensor([2, 1])
    assert torch.equal(
        between.take(index)({name: a[index] for name, a in seen.items()}), between(seen)[index]
    )


def test_where_nothing_is_active_the_slope_is_of_the_size_of_others() -> None:
    h = torch.zeros(1, 3, 2, 2)
    h[0, :, 0, 0] = torch.tensor([0.5, -1.0, 2.0])
    h.requires_grad_()
    (grad,) = torch.autograd.grad(direction("a", torch.ones(1, 3), cosine)({"a": h}).sum(), h)
    assert (
        grad[0, :, 1:].abs().max() < 1
    )  # not 1e12, which Adam would remember for thousands of steps


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_vectors_may_have_any_length_of_their_dtype(factor: float) -> None:
    vectors, h = drawn(2, 3).float(), drawn(2, 3, 2, 2, seed=1).float()
    torch.testing.assert_close(
        direction("a", vectors * factor)({"a": h}), direction("a", vectors)({"a": h})
    )
