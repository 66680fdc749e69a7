"""8-bit images for L1: inside in integer arithmetic, and the nearest of all that are."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from interp.attack.ball import Ball
from interp.seeds import generators


def ball(x: Tensor, eps: float) -> Ball:
    return Ball(x, x.new_full((len(x), 1, 1, 1), eps), 1, random_start=True, eight_bit=True)


def levels(image: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    rounded: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = np.rint(
        image.double().numpy() * 255
    ).astype(np.int64)
    assert torch.equal(torch.from_numpy(rounded).to(image.dtype) / 255, image)
    assert rounded.min() >= 0
    assert rounded.max() <= 255
    return rounded


def eight_bit_images(rng: torch.Generator, rows: int, size: int, dtype: torch.dtype) -> Tensor:
    chosen = torch.randint(0, 256, (rows, 1, size, size), generator=rng)
    chosen[torch.rand(chosen.shape, generator=rng) < 0.3] = 0
    chosen[torch.rand(chosen.shape, generator=rng) < 0.3] = 255
    return chosen.to(dtype) / 255


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "eps", [Fraction(k) / 255 for k in ("0", "0.5", "1", "7", "33.3", "255", "3060")]
)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_eight_bit_images_are_inside_in_integer_arithmetic(
    eps: Fraction, dtype: torch.dtype, seed: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = eight_bit_images(rng, 3, 12, dtype)
    b = ball(x, float(eps))
    steps = torch.randn(x.shape, generator=rng).to(dtype)
    start, noise = b.start(generators(seed, 0, 3)), b.noise(generators(seed, 0, 3))
    spike = torch.where(torch.rand(x.shape, generator=rng) < 0.02, 9.0, 0.0).to(dtype) * steps
    for z in (
        b.project(x + steps),
        b.project(x + float(eps) / 144 * steps.sign()),
        b.project(x + spike),
        start,
        noise,
    ):
        change = levels(b.image(z)) - levels(x)
        assert np.abs(change).sum((1, 2, 3)).max() <= math.floor(eps * 255)
        asked = (z.double() - x.double()).numpy() * 255
        assert np.abs(change - asked).max() <= 1 + 1e-4
        nearest = np.floor(np.abs(asked) + 0.5 - 1e-4).sum(
            (1, 2, 3)
        )  # a tie in float32 may be none here
        used = np.abs(change).sum((1, 2, 3))
        assert (
            used >= np.minimum(nearest, math.floor(eps * 255)) - 1e-9
        ).all()  # no more is taken back than must be


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), budget=st.integers(0, 9))
def test_the_eight_bit_image_is_the_nearest_of_all_inside(seed: int, budget: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = eight_bit_images(rng, 1, 2, torch.float64)
    b = ball(x, budget / 255)
    z = b.project(x + 4 / 255 * torch.randn(x.shape, generator=rng, dtype=torch.float64))
    change = (levels(b.image(z)) - levels(x)).flatten()
    asked = ((z - x) * 255).flatten().numpy()
    corners = itertools.product(*(range(math.floor(a) - 1, math.floor(a) + 3) for a in asked))
    best = min(((np.array(c) - asked) ** 2).sum() for c in corners if np.abs(c).sum() <= budget)
    assert ((change - asked) ** 2).sum() <= best + 1e-9
