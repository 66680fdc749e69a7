"""The spaces of pictures: what each can draw, what it begins at, and that no row depends on
another.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.feature.alpha import OpacityPenalty, RandomBackground, over, with_alpha
from interp.feature.params.base import SIGMOID_MARGIN, Parameterization
from interp.feature.params.colour import correlation, decorrelated, mixed
from interp.feature.params.cppn import Cppn, CppnSpec, composite_activation
from interp.feature.params.fourier import Fourier, FourierSpec
from interp.feature.params.init_image import InitImage
from interp.feature.params.maco import Maco
from interp.feature.params.pixels import Pixels, PixelsSpec
from interp.feature.params.spectrum import Spectrum
from interp.seeds import generators
from tests.interp.toys_networks import images

LIKE = torch.zeros((), dtype=torch.float64)
SHAPES = [(3, 8, 8), (1, 9, 7), (3, 6, 11)]


def rectangle(rows: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Random images (rows, *shape)."""
    return images(rows, max(shape[1:]), channels=shape[0], seed=seed)[
        :, :, : shape[1], : shape[2]
    ].contiguous()


def magnitude(shape: tuple[int, int, int]) -> Tensor:
    spectrum = Spectrum(shape)
    spectrum.update(rectangle(5, shape, seed=9))
    return spectrum.magnitude


Make = Callable[[tuple[int, int, int], Tensor], Parameterization]

PARAMETERIZATIONS: dict[str, Make] = {
    "fourier": Fourier,
    "flat fourier": lambda shape, like: Fourier(shape, like, decay=0.0),
    "pixels": Pixels,
    "cppn": lambda shape, like: Cppn(shape, like, depth=3, width=5),
    "maco": lambda shape, like: Maco(shape, like, magnitude(shape)),
    "alpha": lambda shape, like: with_alpha(FourierSpec(), shape, like),
    "alpha cppn": lambda shape, like: with_alpha(CppnSpec(2, 4), shape, like),
    "begun": lambda shape, like: InitImage(Fourier(shape, like), rectangle(1, shape)),
}
every_parameterization = pytest.mark.parametrize("name", PARAMETERIZATIONS)
every_shape = pytest.mark.parametrize("shape", SHAPES)


def moved(space: Parameterization, rows: int, seed: int = 0) -> Tensor:
    """z away from the start."""
    z = space.start(generators(seed, 0, rows))
    return z + 0.3 * torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)


@every_shape
@every_parameterization
def test_pictures_lie_in_the_box_and_gradients_reach_z(
    name: str, shape: tuple[int, int, int]
) -> None:
    space = PARAMETERIZATIONS[name](shape, LIKE)
    z = moved(space, 2)
    assert z.shape[1:] == space.z_shape
    picture = space.image(z)
    assert picture.shape == (2, *space.shape)
    assert picture.dtype == torch.float64
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 1e-3
    assert torch.equal(space.project(z), z)
    assert torch.autograd.gradcheck(space.image, (z[:1].clone().requires_grad_(),), fast_mode=True)


@every_parameterization
def test_seeds_repeat_and_rows_are_apart(name: str) -> None:
    space = PARAMETERIZATIONS[name]((3, 8, 8), torch.zeros(()))
    whole = space.start(generators(5, 0, 3))
    assert torch.equal(space.start(generators(5, 0, 3)), whole)
    assert torch.equal(space.start(generators(5, 2, 1))[0], whole[2])
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(space.start(generators(6, 0, 3)), whole)
    precise = PARAMETERIZATIONS[name]((3, 8, 8), LIKE)
    z = moved(precise, 3)
    for row in range(3):
        torch.testing.assert_close(
            precise.image(z[row : row + 1])[0], precise.image(z)[row], rtol=0, atol=1e-12
        )


@every_shape
@pytest.mark.parametrize("name", ["fourier", "flat fourier", "pixels", "alpha", "begun"])
def test_encoding_is_the_inverse_of_drawing(name: str, shape: tuple[int, int, int]) -> None:
    space = PARAMETERIZATIONS[name](shape, LIKE)
    x = rectangle(2, space.shape) * (1 - 2 * SIGMOID_MARGIN) + SIGMOID_MARGIN
    torch.testing.assert_close(space.image(space.encode(x)), x, rtol=0, atol=1e-12)
    extreme = x.round()
    assert (space.image(space.encode(extreme)) - extreme).abs().max() < SIGMOID_MARGIN * (1 + 1e-9)
    shown = space.image(space.encode(extreme)) * 255
    assert torch.equal(shown.round(), extreme * 255)  # the 8-bit picture is the same


def test_an_opaque_image_begins_half_transparent() -> None:
    space = with_alpha(PixelsSpec(), (3, 8, 8), LIKE)
    x = images(2) * 0.9 + 0.05
    drawn = space.image(space.encode(x))
    torch.testing.assert_close(drawn[:, :3], x, rtol=0, atol=1e-12)
    torch.testing.assert_close(drawn[:, 3], torch.full_like(x[:, 0], 0.5))


@pytest.mark.parametrize(
    "space",
    [
        Fourier((3, 8, 8), LIKE),
        Pixels((3, 8, 8), LIKE, 0.02),
        with_alpha(FourierSpec(), (3, 8, 8), LIKE),
    ],
)
def test_a_climb_can_begin_at_images(space: Parameterization) -> None:
    x = images(3) * 0.9 + 0.05
    begun = InitImage(space, x)
    start = begun.start(generators(0, 0, 3))
    assert torch.equal(
        start - space.encode(x),
        (space.encode(x) + begun.noise * space.start(generators(0, 0, 3))) - space.encode(x),
    )
    assert 0 < (begun.image(start)[:, :3] - x).abs().mean() < 0.05
    one = InitImage(space, x[:1]).start(generators(0, 0, 3))
    torch.testing.assert_close(one[0], start[0])
    assert not torch.equal(one[0], one[1])
    with pytest.raises(ValueError, match="3 images"):
        begun.start(generators(0, 0, 2))
    with pytest.raises(ValueError, match="cannot begin"):
        InitImage(space, images(3, 9)).start(generators(0, 0, 3))


@pytest.mark.parametrize("name", ["cppn", "maco"])
def test_some_spaces_cannot_begin_at_an_image(name: str) -> None:
    space = PARAMETERIZATIONS[name]((3, 8, 8), LIKE)
    with pytest.raises(ValueError, match="cannot begin at an image"):
        InitImage(space, images(1)).start(generators(0, 0, 1))


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


# CPPN


def test_a_cppn_is_a_network_of_coordinates() -> None:
    """Each pixel of each picture computed by itself, with matrices cut out of z one number after
    the other.
    """
    depth, width, shape = 2, 3, (3, 4, 6)
    space = Cppn(shape, LIKE, depth, width)
    z = moved(space, 2)
    picture = space.image(z)
    for row in range(2):
        values = iter((z[row] * 0.025).tolist())
        layers = []
        for out, into in [(width, 2), (width, 2 * width), (3, 2 * width)]:
            weight = np.array([[next(values) for _ in range(into)] for _ in range(out)])
            layers.append((weight, np.array([next(values) for _ in range(out)])))
        for i in range(4):
            for j in range(6):
                h = np.array([(-1 + 2 * i / 3) * 4 / 6, -1 + 2 * j / 5]) * math.sqrt(3)
                for number, (weight, bias) in enumerate(layers):
                    if number:
                        h = np.concatenate(
                            [np.arctan(h) / 0.67, (np.arctan(h) ** 2 - 0.45) / 0.396]
                        )
                    h = weight @ h + bias
                np.testing.assert_allclose(picture[row, :, i, j], 1 / (1 + np.exp(-h)), atol=1e-10)


def test_a_cppn_begins_gray_and_keeps_its_signal() -> None:
    space = Cppn((3, 16, 16), LIKE)
    z = space.start(generators(0, 0, 4))
    assert torch.equal(space.image(z), torch.full((4, 3, 16, 16), 0.5, dtype=torch.float64))
    drawn = composite_activation(
        torch.randn(1, 1, 200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    torch.testing.assert_close(
        drawn.mean((0, 2)), torch.zeros(2, dtype=torch.float64), rtol=0, atol=0.02
    )
    torch.testing.assert_close(
        drawn.std((0, 2)), torch.ones(2, dtype=torch.float64), rtol=0, atol=0.02
    )


# MACO


@every_shape
def test_pictures_of_maco_have_exactly_the_magnitudes_of_the_data(
    shape: tuple[int, int, int],
) -> None:
    wanted = magnitude(shape)
    space = Maco(shape, LIKE, wanted)
    plane = space.image(moved(space, 3)).logit()
    if shape[0] == 3:
        root = np.array(
            [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]]
        )  # published with lucid
        root /= np.linalg.norm(root, axis=0).max()
        plane = torch.from_numpy(np.einsum("cr,brhw->bchw", np.linalg.inv(root), plane.numpy()))
    found = np.abs(np.fft.rfft2(plane.numpy()))
    wanted[:, 0, 0] = 0
    scale = found[0].max() / wanted.max().item()
    np.testing.assert_allclose(
        found, np.broadcast_to(wanted.numpy() * scale, found.shape), atol=1e-9 * found.max()
    )
    np.testing.assert_allclose(plane.numpy().reshape(3, -1).std(1), 1, rtol=1e-6)
    np.testing.assert_allclose(plane.numpy().reshape(3, -1).mean(1), 0, atol=1e-9)


def test_magnitudes_must_fit() -> None:
    with pytest.raises(ValueError, match="magnitudes"):
        Maco((3, 8, 8), LIKE, magnitude((3, 8, 6)))


def test_a_spectrum_is_the_mean_of_magnitudes_and_shards_merge() -> None:
    x = rectangle(7, (3, 6, 5))
    whole, first, second = Spectrum((3, 6, 5)), Spectrum((3, 6, 5)), Spectrum((3, 6, 5))
    whole.update(x)
    first.update(x[:3])
    second.update(x[3:5])
    second.update(x[5:])
    second.merge(first)
    assert second.images == whole.images == 7
    torch.testing.assert_close(second.magnitude, whole.magnitude, rtol=0, atol=1e-12)
    by_hand = np.abs(np.fft.rfft2(decorrelated(x).numpy())).mean(0)
    np.testing.assert_allclose(whole.magnitude, by_hand, rtol=1e-12)
    torch.testing.assert_close(mixed(decorrelated(x), correlation(LIKE)), x, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="no images"):
        _ = Spectrum((3, 6, 5)).magnitude
    with pytest.raises(ValueError, match="in a spectrum"):
        whole.update(rectangle(1, (3, 5, 6)))
    with pytest.raises(ValueError, match="one of images"):
        whole.merge(Spectrum((1, 6, 5)))


# Alpha


def test_a_backdrop_shows_where_a_picture_is_transparent() -> None:
    x = rectangle(2, (4, 8, 8))
    x[:, 3] = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1)
    rows = generators(0, 0, 2)
    first, second = RandomBackground()(x, rows), RandomBackground()(x, rows)
    assert first.shape == (2, 3, 8, 8)
    assert torch.equal(first[1], x[1, :3])
    assert not torch.isclose(first[0], second[0]).all()  # a new one for each view
    assert first[0].min() >= 0
    assert first[0].max() <= 1
    wide = rectangle(40, (4, 16, 16)) * 0
    assert (
        0.1 < RandomBackground()(wide, generators(0, 0, 40)).std() < 0.35
    )  # as contrasts are in photographs
    torch.testing.assert_close(RandomBackground(0.0)(x, rows), over(x))
    alone = RandomBackground()(x[1:], generators(0, 1, 1))
    torch.testing.assert_close(alone[0], RandomBackground()(x, generators(0, 0, 2))[1])


def test_laying_over_is_a_weighted_mean() -> None:
    x = rectangle(2, (2, 4, 4))
    y = torch.full((2, 1, 4, 4), 0.3, dtype=torch.float64)
    torch.testing.assert_close(
        over(x, y)[:, 0], x[:, 1] * x[:, 0] + (1 - x[:, 1]) * 0.3, rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        OpacityPenalty(2.0)(x, torch.tensor([3.0, 0.5]).to(x)),
        -2 * torch.stack([3 * x[0, 1].mean(), x[1, 1].mean() / 2]),
    )
