"""Exact projections onto ball and box, for L1 and L2: against enumerations, grids and the
optimality conditions; random points in L1.
"""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from interp.attack.ball import Ball
from interp.norms import norm
from interp.seeds import generators
from tests.interp.toys_networks import images

exact_norms = pytest.mark.parametrize("p", [1.0, 2.0])
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def ball(x: Tensor, eps: float | Tensor, p: float, *, random_start: bool = False) -> Ball:
    radii = (
        eps.view(-1, 1, 1, 1).to(x)
        if isinstance(eps, Tensor)
        else x.new_full((len(x), 1, 1, 1), eps)
    )
    return Ball(x, radii, p, random_start, exact=True)


def centres(
    rng: torch.Generator, rows: int, size: int, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Random images, a third of whose pixels are on the edge of the box."""
    x = torch.rand(rows, 1, size, size, generator=rng, dtype=torch.float64)
    kind = torch.rand(x.shape, generator=rng)
    return torch.where(kind < 1 / 6, 0.0, torch.where(kind > 5 / 6, 1.0, x)).to(dtype)


def enumerated(x: list[float], z: list[float], eps: float, p: float) -> list[float]:
    """The nearest point, the best of all that arise when each pixel is held at x, held at the box,
    or moves freely with the others.
    """
    signs = [math.copysign(1, b - a) for a, b in zip(x, z, strict=True)]
    size = [abs(b - a) for a, b in zip(x, z, strict=True)]
    room = [1 - a if s > 0 else a for a, s in zip(x, signs, strict=True)]
    best, nearest = math.inf, list[float]()
    for kinds in itertools.product(("still", "full", "free"), repeat=len(x)):
        free = [i for i, kind in enumerate(kinds) if kind == "free"]
        full = sum(room[i] ** p for i, kind in enumerate(kinds) if kind == "full")
        cut, t = 0.0, 1.0
        if free and p == 1:
            cut = max(0.0, (sum(size[i] for i in free) + full - eps) / len(free))
        elif free and p == 2:
            t = min(
                1.0,
                math.sqrt(max(0.0, eps**2 - full) / max(sum(size[i] ** 2 for i in free), 1e-300)),
            )
        moved = [
            {"still": 0.0, "full": room[i], "free": t * size[i] - cut}[kind]
            for i, kind in enumerate(kinds)
        ]
        if (
            any(not -1e-12 <= m <= r + 1e-12 for m, r in zip(moved, room, strict=True))
            or sum(abs(m) ** p for m in moved) > eps**p + 1e-12
        ):
            continue
        distance = sum((b - m) ** 2 for b, m in zip(size, moved, strict=True))
        if distance < best:
            best, nearest = distance, [a + s * m for a, s, m in zip(x, signs, moved, strict=True)]
    return nearest


@exact_norms
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), eps=st.floats(0.01, 2.5), far=st.sampled_from([0.1, 1.0, 5.0]))
def test_the_nearest_point_is_that_of_an_enumeration(
    p: float, seed: int, eps: float, far: float
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = centres(rng, 1, 2)
    z = x + far * torch.randn(x.shape, generator=rng, dtype=torch.float64)
    ours = ball(x, eps, p).project(z).flatten().tolist()
    assert ours == pytest.approx(
        enumerated(x.flatten().tolist(), z.flatten().tolist(), eps, p), abs=1e-9
    )


@exact_norms
@pytest.mark.parametrize("seed", range(4))
def test_no_point_of_a_grid_is_nearer(p: float, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    axis = torch.linspace(0, 1, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    for x in (
        torch.rand(2, generator=rng, dtype=torch.float64),
        torch.tensor([0.0, 0.3]).double(),
        torch.tensor([1.0, 0.9]).double(),
    ):
        z, eps = (
            2 * torch.randn(2, generator=rng, dtype=torch.float64),
            0.1 + 0.6 * torch.rand(1, generator=rng).item(),
        )
        feasible = grid[torch.linalg.vector_norm(grid - x, p, dim=1) <= eps]
        ours = ball(x.view(1, 1, 1, 2), eps, p).project(z.view(1, 1, 1, 2)).flatten()
        best = (feasible - z).norm(dim=1).min().item()
        assert best - 1 / 200 <= (ours - z).norm().item() <= best + 1e-12


def is_optimal(b: Ball, z: Tensor, nearest: Tensor, tolerance: float) -> None:
    """The Karush-Kuhn-Tucker conditions: what is left to go is lambda times the norm's slope, and
    more where the box binds.
    """
    x, z, nearest, eps = b.x.double(), z.double(), nearest.double(), b.eps.double().flatten()
    delta, left = (nearest - x).flatten(1), (z - nearest).flatten(1)
    length = torch.linalg.vector_norm(delta, b.p, dim=1)
    inside = (nearest.flatten(1) > 0) & (nearest.flatten(1) < 1)
    for row in range(len(x)):
        d, r, free = delta[row], left[row], inside[row] & (delta[row] != 0)
        slope = d.sign() if b.p == 1 else d
        pull = (
            ((r * slope)[free].sum() / (slope * slope)[free].sum()).item() if free.any() else 0.0
        )  # lambda, fitted
        assert pull >= -tolerance
        torch.testing.assert_close(r[free], pull * slope[free], rtol=0, atol=tolerance)
        if pull > tolerance:  # the ball binds
            assert length[row].item() == pytest.approx(eps[row].item(), rel=1e-6)
        pinned = ~inside[row] & (d != 0)
        assert (r * d.sign() >= pull * slope.abs() - tolerance)[pinned].all()
        still = inside[row] & (d == 0)
        assert (r.abs() <= (pull if b.p == 1 else 0) + tolerance)[still].all()


@exact_norms
@pytest.mark.parametrize("far", [0.01, 0.3, 3.0, 100.0])
def test_projections_in_many_dimensions_are_optimal(p: float, far: float) -> None:
    rng = torch.Generator().manual_seed(1)
    x = centres(rng, 6, 40, torch.float32).double()  # of numbers that both precisions have
    z = x + far * torch.randn(x.shape, generator=rng).double()
    z = z.float().double()
    scale = torch.tensor(
        [1e-4, 0.01, 0.1, 0.5, 0.9, 2.0], dtype=torch.float64
    )  # the last row's ball does not bind
    full = torch.linalg.vector_norm((z.clamp(0, 1) - x).flatten(1), p, dim=1)
    eps = (scale * full).float().double()
    b = ball(x, eps, p)
    nearest = b.project(z)
    inside(b, nearest)
    is_optimal(b, z, nearest, 1e-10 * max(1, far))
    torch.testing.assert_close(b.project(nearest), nearest, rtol=0, atol=1e-12)
    single = ball(x.float(), eps, p)
    rounded = single.project(z.float())
    assert rounded.dtype is torch.float32
    inside(single, rounded)
    torch.testing.assert_close(rounded.double(), nearest, rtol=0, atol=2**-23)
    assert ((rounded == nearest) | ((nearest > 0) & (nearest < 1))).all()


def inside(b: Ball, z: Tensor) -> None:
    assert ((z >= 0) & (z <= 1)).all()
    length = torch.linalg.vector_norm((z.double() - b.x.double()).flatten(1), b.p, dim=1)
    slack = 3e-7 if z.dtype is torch.float32 else 1e-12
    assert (length <= b.eps.double().flatten() * (1 + slack)).all()


@exact_norms
@dtypes
def test_rounding_does_not_lead_out_of_the_ball(p: float, dtype: torch.dtype) -> None:
    for value in (
        0.5,
        0.7,
        0.9,
        0.999,
    ):  # all pixels alike: whatever rounding does to one it does to all
        x = torch.full((1, 3, 64, 64), value, dtype=dtype)
        for eps in (1e-3, 0.02, 0.1, 1.0):
            b = ball(x, eps, p)
            for z in (x + 1, x - 1, x - x):
                inside(b, b.project(z))


@exact_norms
def test_points_inside_stay_where_they_are(p: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x = centres(rng, 5, 4)
    z = (x + 0.01 * torch.randn(x.shape, generator=rng, dtype=torch.float64)).clamp(0, 1)
    torch.testing.assert_close(ball(x, 5.0, p).project(z), z, rtol=0, atol=1e-15)
    assert torch.equal(ball(x, 0.5, p).project(x), x)
    outside = ball(x, 1e6, p).project(
        x + 50 * torch.randn(x.shape, generator=rng, dtype=torch.float64)
    )
    assert ((outside == 0) | (outside == 1) | (outside != x)).all()
    far = torch.where(x > 0.5, 60.0, -60.0).double()
    assert torch.equal(ball(x, 1e6, p).project(far), far.clamp(0, 1))


@exact_norms
@dtypes
def test_a_radius_of_zero_moves_nothing(p: float, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    x = centres(rng, 3, 5, dtype)
    b = ball(x, torch.tensor([0.0, 0.2, 0.0]), p, random_start=True)
    for z in (
        b.project(x + 1),
        b.project(x - 0.1),
        b.start(generators(0, 0, 3)),
        b.noise(generators(0, 0, 3)),
    ):
        assert torch.equal(z[0], x[0])
        assert torch.equal(z[2], x[2])
        assert not torch.equal(z[1], x[1])


@exact_norms
def test_every_row_has_a_radius_of_its_own_and_no_company(p: float) -> None:
    rng = torch.Generator().manual_seed(2)
    x = centres(rng, 4, 6)
    z = x + torch.randn(x.shape, generator=rng, dtype=torch.float64)
    eps = torch.tensor([0.1, 5.0, 0.7, 0.0], dtype=torch.float64)
    whole = ball(x, eps, p).project(z)
    for row in range(4):
        single = ball(x[row : row + 1], eps[row].item(), p).project(z[row : row + 1])
        torch.testing.assert_close(whole[row : row + 1], single, rtol=0, atol=1e-15)
    chosen = torch.tensor([2, 0])
    assert torch.equal(ball(x, eps, p).take(chosen).project(z[chosen]), whole[chosen])


def test_the_exact_l2_projection_is_a_choice_that_uses_the_whole_ball() -> None:
    rng = torch.Generator().manual_seed(3)
    x = centres(rng, 8, 6)
    z = x + 3 * torch.randn(x.shape, generator=rng, dtype=torch.float64)
    loose = Ball(x, x.new_full((8, 1, 1, 1), 1.0), 2)
    tight = ball(x, 1.0, 2)
    assert not loose.exact
    assert tight.take(torch.tensor([0, 1])).exact
    delta = z - x
    by_hand = (x + delta * (1 / norm(delta, 2)).clamp_max(1)).clamp(0, 1)
    torch.testing.assert_close(loose.project(z), by_hand, rtol=0, atol=1e-15)
    assert (norm(tight.project(z) - z, 2) < norm(loose.project(z) - z, 2) - 1e-3).all()
    assert (norm(loose.project(z) - x, 2) < 0.95).all()  # what the second step gives away
    torch.testing.assert_close(
        norm(tight.project(z) - x, 2), torch.ones(8, 1, 1, 1, dtype=torch.float64)
    )


def test_for_linf_exact_changes_nothing() -> None:
    x, z = images(3), 3 * images(3, seed=1) - 1
    assert torch.equal(
        ball(x, 0.1, math.inf).project(z), Ball(x, x.new_full((3, 1, 1, 1), 0.1)).project(z)
    )


# Random points


def centred(rows: int, size: int) -> Ball:
    return ball(
        torch.full((rows, 1, size, size), 0.5, dtype=torch.float64), 0.25, 1, random_start=True
    )


@pytest.mark.parametrize("size", [1, 2, 4])
def test_random_starts_for_l1_are_uniform_in_the_ball(size: int) -> None:
    rows, d = 20000, size * size
    b = centred(rows, size)
    delta = ((b.start(generators(0, 0, rows)) - b.x) / 0.25).flatten(1)
    radius = delta.abs().sum(1)
    assert (
        stats.kstest(radius**d, stats.uniform.cdf).pvalue > 1e-4
    )  # the ball of radius r holds r ** d of the volume
    spread_evenly(delta, radius)
    second = torch.eye(d, dtype=torch.float64) * 2 / ((d + 1) * (d + 2))
    torch.testing.assert_close(delta.T @ delta / rows, second, rtol=0, atol=10 / rows**0.5 / d**2)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_noise_for_l1_is_uniform_on_the_sphere(size: int) -> None:
    rows = 20000
    b = centred(rows, size)
    delta = (b.noise(generators(0, 0, rows)) - b.x).flatten(1)
    length = delta.abs().sum(1)
    torch.testing.assert_close(
        length, torch.full((rows,), 0.25, dtype=torch.float64), rtol=1e-12, atol=0
    )
    spread_evenly(delta, length)


def spread_evenly(delta: Tensor, length: Tensor) -> None:
    """The shares of length are uniform in the simplex, whose marginals are beta distributions, and
    all signs equally likely.
    """
    rows, d = delta.shape
    assert (delta > 0).double().mean(0).sub(0.5).abs().max() < 4 * 0.5 / rows**0.5
    if d > 1:
        share = delta.abs() / length[:, None]
        for pixel in (0, d // 2, d - 1):
            assert stats.kstest(share[:, pixel], stats.beta(1, d - 1).cdf).pvalue > 1e-4
        pair = share[:, 0] + share[:, 1]
        if d > 2:
            assert stats.kstest(pair, stats.beta(2, d - 2).cdf).pvalue > 1e-4


@dtypes
@pytest.mark.parametrize("eps", [0.01, 0.3, 5.0, 40.0])
def test_starts_and_noise_for_l1_are_in_the_ball_and_in_the_box(
    eps: float, dtype: torch.dtype
) -> None:
    x = images(40, size=4, dtype=dtype).round(decimals=1)
    b = ball(x, eps, 1, random_start=True)
    for z in (b.start(generators(3, 0, 40)), b.noise(generators(3, 0, 40))):
        inside(b, z)
        assert not torch.equal(z, x)
    rows = generators(3, 0, 40)
    chosen = [7, 3]
    alone = b.take(torch.tensor(chosen)).start([rows[i] for i in chosen])
    assert torch.equal(alone, b.start(generators(3, 0, 40))[chosen])
