"""The Fourier space of pictures: linear up to a sigmoid, with the spectrum and the colours of
photographs.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.feature.params.fourier import Fourier
from interp.seeds import generators
from tests.interp.feature.toys_feature import LIKE

shapes = pytest.mark.parametrize(
    "shape", [(3, 8, 8), (1, 32, 32), (3, 7, 9), (1, 5, 12), (3, 16, 11)]
)


def drawn(space: Fourier, rows: int, deviation: float = 1.0) -> Tensor:
    return space.start(generators(0, 0, rows)) / space.deviation * deviation


@shapes
def test_pictures_have_their_shape_and_lie_in_the_box(shape: tuple[int, int, int]) -> None:
    space = Fourier(shape, LIKE)
    start = space.start(generators(0, 0, 3))
    picture = space.image(start)
    assert picture.shape == (3, *shape)
    assert picture.dtype == torch.float64
    assert (picture - 0.5).abs().max() < 0.5  # neither black nor white anywhere
    assert 0.02 < picture.std() < 0.2
    wild = space.image(drawn(space, 3, 3.0))
    assert wild.min() >= 0
    assert wild.max() <= 1
    assert torch.equal(space.project(start), start)


def test_nothing_is_gray() -> None:
    space = Fourier((3, 8, 8), LIKE)
    assert torch.equal(
        space.image(torch.zeros_like(space.start(generators(0, 0, 1)))),
        torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64),
    )


@shapes
def test_pictures_are_linear_before_the_sigmoid_and_rows_are_apart(
    shape: tuple[int, int, int],
) -> None:
    space = Fourier(shape, LIKE)
    drawn_once = drawn(space, 4, 0.1)
    a, b = drawn_once[:2], drawn_once[2:]
    expected = 2 * space.image(a).logit() - 0.5 * space.image(b).logit()
    torch.testing.assert_close(space.image(2 * a - 0.5 * b).logit(), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(space.image(a)[1:], space.image(a[1:]), rtol=0, atol=1e-12)


def test_the_spectrum_falls_like_that_of_photographs() -> None:
    space = Fourier((1, 32, 32), LIKE, decay=1.0)
    spectrum = np.fft.fft2(space.image(drawn(space, 200, 0.02)).logit().numpy())
    power = (np.abs(spectrum) ** 2).mean((0, 1))
    frequency = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32)[None])
    ring = (
        (frequency > 0) & (frequency < 0.45) & (np.arange(32) > 0) & (np.arange(32) < 16)
    )  # columns 0 and 16 are real: half the power
    slope, _ = np.polyfit(np.log(frequency[ring]), np.log(power[ring]), 1)
    assert slope == pytest.approx(-2, abs=0.1)  # power ~ 1 / f^2 (Field 1987)


def test_the_colours_are_correlated_like_those_of_photographs() -> None:
    space = Fourier((3, 16, 16), LIKE)
    colours = space.image(drawn(space, 300, 0.01)).logit().movedim(1, 0).flatten(1).numpy()
    root = np.array(
        [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]]
    )  # published with lucid
    covariance = root @ root.T
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(
        np.corrcoef(colours), covariance / scale[:, None] / scale[None], atol=0.03
    )


@shapes
def test_gradients_reach_every_coefficient_that_shows(shape: tuple[int, int, int]) -> None:
    space = Fourier(shape, LIKE)
    z = drawn(space, 1, 0.1).requires_grad_()
    assert torch.autograd.gradcheck(space.image, (z,), fast_mode=True)


def test_the_start_belongs_to_the_row() -> None:
    space = Fourier((3, 8, 8), LIKE)
    whole = space.start(generators(5, 0, 3))
    assert torch.equal(space.start(generators(5, 2, 1))[0], whole[2])
    assert whole.std().item() == pytest.approx(space.deviation, rel=0.1)


@shapes
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.3, 3.0])
def test_the_start_has_the_spectrum_of_its_decay_and_the_strength_of_photographs(
    shape: tuple[int, int, int], decay: float
) -> None:
    _, height, width = shape
    one = torch.complex(torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency = np.maximum(frequency, 1 / max(height, width))
    photographs = math.sqrt(height * width) / frequency
    steeper = math.sqrt(height * width) / frequency**decay
    strength = math.sqrt((photographs**2).sum() / (steeper**2).sum())
    for place in [(0, 0), (1, 1), (2, 2), (height - 1, 1)]:
        z = torch.zeros(1, *shape[:1], height, width // 2 + 1, 2, dtype=torch.float64)
        torch.view_as_complex(z)[0, 0, *place] = 0.01 * one
        seen = Fourier((1, *shape[1:]), LIKE, decay=decay).image(z[:, :1]).logit()
        amplitude = np.abs(np.fft.rfft2(seen[0, 0].numpy()))[place]
        assert amplitude == pytest.approx(0.01 * strength * steeper[place] / 4, rel=1e-9)


@shapes
def test_beyond_its_contrast_a_spectrum_counts_by_its_direction_alone(
    shape: tuple[int, int, int],
) -> None:
    space = Fourier(shape, LIKE)
    z = drawn(space, 3)
    weak, strong = space.image(0.01 * z).logit(), space.image(100 * z).logit()
    deviation = np.std(strong.flatten(1).numpy(), axis=1)
    np.testing.assert_allclose(deviation, 1.2, rtol=1e-9)
    np.testing.assert_allclose(space.image(1000 * z).logit(), strong, rtol=1e-6, atol=1e-9)
    ratio = (strong / weak).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-6, atol=0)
    own = np.std(weak.flatten(1).numpy(), axis=1)
    wide = Fourier(shape, LIKE, contrast=1e9)
    torch.testing.assert_close(wide.image(0.01 * z).logit(), weak)
    assert (own < 0.1).all()


@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_the_spectrum_falls_with_the_decay(decay: float) -> None:
    space = Fourier((1, 32, 32), LIKE, 0.001, decay)
    power = np.abs(np.fft.rfft2(space.image(space.start(generators(0, 0, 300))).logit().numpy()))
    mean = (power**2).mean((0, 1))
    slope = math.log(mean[1:3, 8].mean() / mean[1:3, 4].mean()) / math.log(2)
    frequency = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)[None])
    expected = math.log(
        (frequency[1:3, 8] ** (-2 * decay)).mean() / (frequency[1:3, 4] ** (-2 * decay)).mean()
    ) / math.log(2)
    assert slope == pytest.approx(expected, abs=0.25)
