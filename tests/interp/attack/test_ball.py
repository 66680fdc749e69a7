"""The threat models: true projections, the laws of random points, and 8-bit images that stay inside
in integer arithmetic.
"""

import io
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from torch import Tensor

from interp.attack.ball import Ball
from interp.norms import norm
from interp.seeds import generators
from tests.interp.toys_networks import images

norms = pytest.mark.parametrize("p", [math.inf, 2.0])
units = st.floats(0, 1)


def ball(
    x: Tensor, eps: float, p: float, random_start: bool = False, eight_bit: bool = False
) -> Ball:
    return Ball(x, x.new_full((len(x), 1, 1, 1), eps), p, random_start, eight_bit)


@settings(deadline=None)
@given(units, st.floats(0, 1.5), st.floats(-2, 3))
def test_the_projection_for_linf_is_nearest_of_all_feasible_values(
    x: float, eps: float, z: float
) -> None:
    centre = torch.tensor([[[[x]]]], dtype=torch.float64)
    projected = ball(centre, eps, math.inf).project(centre.new_tensor([[[[z]]]])).item()
    low, high = max(0.0, x - eps), min(1.0, x + eps)
    assert low - 1e-15 <= projected <= high + 1e-15
    assert abs(z - projected) <= np.abs(z - np.linspace(low, high, 101)).min() + 1e-15


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0.001, 2))
def test_the_projection_for_l2_is_inside_and_nearest_where_the_box_does_not_bind(
    seed: int, eps: float
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x, z = (
        torch.rand(4, 1, 2, 3, generator=rng, dtype=torch.float64),
        torch.randn(4, 1, 2, 3, generator=rng, dtype=torch.float64),
    )
    b = ball(x, eps, 2)
    nearest = b.project(z)
    assert (norm(nearest - x, 2) <= eps + 1e-12).all()
    assert ((nearest >= 0) & (nearest <= 1)).all()
    torch.testing.assert_close(b.project(nearest), nearest, rtol=0, atol=1e-12)
    free = ((nearest > 0) & (nearest < 1)).flatten(1).all(1)
    for _ in range(
        20
        # p is the projection of z onto a convex set if and only if (z - p, y - p) <= 0 for all y of
        # it
    ):
        direction = torch.randn(z.shape, generator=rng, dtype=torch.float64)
        inside = x + eps * torch.rand(1, generator=rng) * direction / norm(direction, 2)
        assert (((z - nearest) * (inside - nearest)).sum((1, 2, 3))[free] <= 1e-9).all()


@norms
def test_a_ball_of_radius_zero_is_its_centre(p: float) -> None:
    x = images(3)
    b = ball(x, 0, p, random_start=True)
    for z in (
        b.start(generators(0, 0, 3)),
        b.project(images(3, seed=1)),
        b.noise(generators(0, 0, 3)),
        b.project(x),
    ):
        assert torch.equal(z, x)


@norms
@pytest.mark.parametrize("eps", [0.01, 0.3, 5.0])
def test_starts_and_noise_are_in_the_ball_and_in_the_box(p: float, eps: float) -> None:
    x = images(40, size=4).round(decimals=1)
    for z in (
        ball(x, eps, p, random_start=True).start(generators(3, 0, 40)),
        ball(x, eps, p).noise(generators(3, 0, 40)),
    ):
        assert (norm(z - x, p) <= eps * (1 + 1e-12)).all()
        assert ((z >= 0) & (z <= 1)).all()
        assert not torch.equal(z, x)


def test_without_a_random_start_the_centre_is_the_start() -> None:
    x = images(2)
    start = ball(x, 0.1, math.inf).start(generators(0, 0, 2))
    assert torch.equal(start, x)
    assert start.data_ptr() != x.data_ptr()


def test_random_starts_for_linf_are_uniform_in_the_box() -> None:
    x = torch.full((100, 3, 8, 8), 0.5, dtype=torch.float64)
    delta = (ball(x, 0.25, math.inf, random_start=True).start(generators(0, 0, 100)) - x) / 0.25
    assert stats.kstest(delta.flatten(), stats.uniform(-1, 2).cdf).pvalue > 0.01


@pytest.mark.parametrize("size", [1, 2, 4])
def test_random_starts_for_l2_are_uniform_in_the_ball(size: int) -> None:
    rows, d = 4000, size * size
    x = torch.full((rows, 1, size, size), 0.5, dtype=torch.float64)
    delta = (ball(x, 0.25, 2, random_start=True).start(generators(0, 0, rows)) - x) / 0.25
    radius = norm(delta, 2).flatten()
    assert radius.mean().item() == pytest.approx(
        d / (d + 1), abs=4 * radius.std().item() / rows**0.5
    )
    assert (
        stats.kstest(radius**d, stats.uniform.cdf).pvalue > 0.01
    )  # the ball of radius r holds r ** d of the volume
    direction = (delta / norm(delta, 2)).flatten(1)
    assert direction.mean(0).abs().max() < 4 / (rows * d) ** 0.5
    torch.testing.assert_close(
        direction.T @ direction / rows,
        torch.eye(d, dtype=torch.float64) / d,
        rtol=0,
        atol=5 / rows**0.5 / d,
    )


@norms
def test_noise_is_as_large_as_an_attack_may_be(p: float) -> None:
    x = torch.full((50, 3, 6, 6), 0.5, dtype=torch.float64)
    delta = ball(x, 0.2, p).noise(generators(0, 0, 50)) - x
    torch.testing.assert_close(norm(delta, p).flatten(), x.new_full((50,), 0.2), rtol=1e-12, atol=0)
    if p == math.inf:
        torch.testing.assert_close(delta.abs(), x.new_full(x.shape, 0.2), rtol=1e-12, atol=0)
        assert abs(delta.sign().mean().item()) < 4 / delta.numel() ** 0.5
    else:
        assert delta.mean().abs() < 4 * 0.2 / delta.numel() ** 0.5 / (3 * 6 * 6) ** 0.5


def test_rows_are_taken_with_all_that_is_theirs() -> None:
    x = images(3)
    b = Ball(
        x, torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64).view(3, 1, 1, 1), 2, random_start=True
    )
    z = images(3, seed=1)
    chosen = torch.tensor([2, 0])
    assert torch.equal(b.take(chosen).project(z[chosen]), b.project(z)[chosen])
    rows = generators(0, 0, 3)
    assert torch.equal(
        b.take(chosen).start([rows[2], rows[0]]), b.start(generators(0, 0, 3))[chosen]
    )


# 8 bits


def eight_bit_images(
    seed: int, rows: int, size: int, dtype: torch.dtype
) -> tuple[Tensor, torch.Generator]:
    """Images of 8-bit levels, a fifth of whose pixels are black and a fifth white."""
    rng = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (rows, 3, size, size), generator=rng)
    levels[torch.rand(levels.shape, generator=rng) < 0.2] = 0
    levels[torch.rand(levels.shape, generator=rng) < 0.2] = 255
    return levels.to(dtype) / 255, rng


def iterates(b: Ball, rng: torch.Generator) -> list[Tensor]:
    """Points of the ball that attacks reach: corners, steps from them, random points."""
    signs = torch.randn(b.x.shape, generator=rng).sign().to(b.x)
    corner = (
        b.project(b.x + b.eps * signs)
        if b.p == math.inf
        else b.project(b.x + b.eps * signs / norm(signs, 2))
    )
    rows = generators(int(torch.randint(1000, (), generator=rng)), 0, len(b.x))
    inner = Ball(b.x, b.eps, b.p, random_start=True).start(rows)
    sparse = torch.where(torch.rand(b.x.shape, generator=rng) < 0.03, 3.0, 0.0).to(b.x) * signs
    return [
        b.x,
        corner,
        inner,
        b.project((corner + inner) / 2),
        b.project(b.x + sparse),
        b.noise(rows),
    ]


def levels(image: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The 8-bit levels of an image that is exactly of such levels."""
    rounded: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = np.rint(
        image.double().numpy() * 255
    ).astype(np.int64)
    assert torch.equal(torch.from_numpy(rounded).to(image.dtype) / 255, image)
    assert rounded.min() >= 0
    assert rounded.max() <= 255
    return rounded


LINF = [Fraction(k) / 255 for k in ("0", "0.5", "1", "2", "3.7", "4", "8", "64")]
L2 = [Fraction(k, 100) for k in (0, 1, 10, 15, 20, 25, 30, 50, 75, 90, 100, 250)]
BALLS = [(math.inf, eps) for eps in LINF] + [(2.0, eps) for eps in L2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("p", "eps"), BALLS)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_eight_bit_images_are_inside_in_integer_arithmetic(
    p: float, eps: Fraction, dtype: torch.dtype, seed: int
) -> None:
    x, rng = eight_bit_images(seed, 3, 6, dtype)
    b = ball(x, float(eps), p, eight_bit=True)
    for z in iterates(b, rng):
        rounded = b.image(z)
        change = levels(rounded) - levels(x)
        if p == math.inf:
            assert np.abs(change).max() <= math.floor(eps * 255)
        else:
            assert (change**2).sum((1, 2, 3)).max() <= (eps * 255) ** 2
        asked = (z.double() - x.double()).numpy() * 255
        assert (
            np.abs(change - asked).max() <= 1 + 1e-4
        )  # no pixel is further away than its other neighbour


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("away", [0.4, 0.95, 1.7, 8.95, 100.99])
def test_every_level_leads_to_levels(away: float, dtype: torch.dtype) -> None:
    x = (torch.arange(256) / 255).to(dtype).view(1, 1, 16, 16)
    for b in (
        ball(x, away / 255, math.inf, eight_bit=True),
        ball(x, away / 255 * 8, 2, eight_bit=True),
    ):
        for z in (b.project(x - away / 255), b.project(x + away / 255)):
            levels(b.image(z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [Fraction(1, 2), Fraction(3), Fraction(10), Fraction(60)])
def test_no_more_is_rounded_towards_the_centre_than_the_ball_asks_for(
    eps: Fraction, dtype: torch.dtype
) -> None:
    x, rng = eight_bit_images(2, 2, 96, dtype)
    b = ball(x, float(eps), 2, eight_bit=True)
    for z in (
        *iterates(b, rng)[1:5],
        x + 5 * (torch.rand(x.shape, generator=rng) - 0.5).to(dtype),
    ):  # the last is far outside
        change = levels(b.image(z.clamp(0, 1))) - levels(x)
        length = (change**2).sum((1, 2, 3))
        assert (length <= (eps * 255) ** 2).all()
        asked = (z.clamp(0, 1).double() - x.double()).numpy() * 255
        if (np.sqrt((asked**2).sum((1, 2, 3))) > float(eps) * 255 * (1 + 1e-5)).any():
            continue  # nothing is promised there but to be inside
        nearest = np.rint(asked).astype(np.int64)
        for row in range(2):
            taken = np.abs(asked[row] - change[row]) > 0.501
            if taken.any():  # the last of them was needed: without it the change is too long
                assert (
                    length[row] + (2 * np.abs(nearest[row][taken]) - 1).max()
                    > float(eps * 255) ** 2
                )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(math.inf, 1.0), (2.0, 40.0)]))
def test_where_the_ball_does_not_bind_the_nearest_level_is_taken(
    seed: int, shape: tuple[float, float]
) -> None:
    x, rng = eight_bit_images(seed, 2, 8, torch.float32)
    z = torch.rand(x.shape, generator=rng)
    rounded = ball(x, shape[1], shape[0], eight_bit=True).image(z)
    assert np.abs(levels(rounded) - z.double().numpy() * 255).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize(("p", "eps"), [(math.inf, 8 / 255), (2.0, 0.5), (2.0, 3.0)])
def test_a_png_gives_back_the_same_floats(p: float, eps: float, size: int) -> None:
    x, rng = eight_bit_images(5, 1, size, torch.float32)
    b = ball(x, eps, p, eight_bit=True)
    for z in iterates(b, rng)[1:]:
        rounded = b.image(z)
        assert (norm(rounded - x, p) <= eps * (1 + 1e-6)).all()
        file = io.BytesIO()
        Image.fromarray(levels(rounded)[0].transpose(1, 2, 0).astype(np.uint8)).save(file, "PNG")
        decoded = torch.from_numpy(np.asarray(Image.open(file)).transpose(2, 0, 1).copy())
        assert torch.equal(decoded.float() / 255, rounded[0])


@norms
def test_most_of_the_ball_is_used(p: float) -> None:
    x, rng = eight_bit_images(1, 4, 32, torch.float64)
    b = ball(x, 8 / 255 if p == math.inf else 1.0, p, eight_bit=True)
    corner = iterates(b, rng)[1]
    assert (norm(b.image(corner) - x, p) > 0.97 * norm(corner - x, p)).all()


def test_the_gradient_passes_through_the_rounding() -> None:
    x, rng = eight_bit_images(0, 2, 4, torch.float64)
    z = (x + 0.01 * torch.rand(x.shape, generator=rng)).clamp(0, 1).requires_grad_()
    (grad,) = torch.autograd.grad(ball(x, 0.02, math.inf, eight_bit=True).image(z), z, x)
    assert torch.equal(grad, x)


def test_noise_for_l2_keeps_its_length_where_the_box_cuts() -> None:
    x = (images(20, seed=4) > 0.5).to(
        torch.float64
    )  # every pixel at the box's edge, so that half of all moves are cut
    b = Ball(x, torch.full((20, 1, 1, 1), 0.7, dtype=torch.float64), 2)
    delta = b.noise(generators(0, 0, 20)) - x
    assert torch.allclose(
        norm(delta, 2).flatten(), torch.full((20,), 0.7, dtype=torch.float64), atol=1e-9
    )


@pytest.mark.parametrize(
    ("p", "eps"), [(2.0, 0.02), (2.0, 0.1), (2.0, 1.0), (1.0, 0.2), (1.0, 1.0), (1.0, 12.0)]
)
@pytest.mark.parametrize("black", [False, True])
def test_noise_of_eight_bit_images_is_as_large_as_an_attack_may_be(
    p: float, eps: float, black: bool
) -> None:
    x = eight_bit_images(5, 3, 32, torch.float32)[0] * (not black)
    b = ball(x, eps, p, eight_bit=True)
    noisy = b.image(b.noise(generators(0, 0, len(x))))
    length = (np.abs(levels(noisy) - levels(x)).astype(float) ** p).sum((1, 2, 3)) ** (1 / p)
    assert (length <= eps * 255 * (1 + 1e-9)).all()
    assert (length > eps * 255 * 0.98 - 1).all()  # the next draw of a level is too much
    assert black or (noisy - x).sign().sum((1, 2, 3)).abs().max() < 5 * math.sqrt(
        3 * 32 * 32
    )  # no sign is preferred
    alone = b.take(torch.tensor([1]))
    assert torch.equal(alone.image(alone.noise(generators(0, 1, 1))), noisy[1:2])


def test_noise_for_l1_keeps_its_length_where_the_box_cuts() -> None:
    x = (images(20, seed=4) > 0.5).to(torch.float64)
    b = Ball(x, torch.full((20, 1, 1, 1), 0.7, dtype=torch.float64), 1)
    delta = b.noise(generators(0, 0, 20)) - x
    assert torch.allclose(
        norm(delta, 1).flatten(), torch.full((20,), 0.7, dtype=torch.float64), atol=1e-9
    )
