"""Pictures with transparency, over backgrounds."""

import torch

from interp.feature.alpha import OpacityPenalty, RandomBackground, over, with_alpha
from interp.feature.params.pixels import PixelsSpec
from interp.seeds import generators
from tests.interp.feature.toys_feature import LIKE, rectangle
from tests.interp.toys_networks import images


def test_an_opaque_image_begins_half_transparent() -> None:
    space = with_alpha(PixelsSpec(), (3, 8, 8), LIKE)
    x = images(2) * 0.9 + 0.05
    drawn = space.image(space.encode(x))
    torch.testing.assert_close(drawn[:, :3], x, rtol=0, atol=1e-12)
    torch.testing.assert_close(drawn[:, 3], torch.full_like(x[:, 0], 0.5))


def test_a_random_background_shows_where_a_picture_is_transparent() -> None:
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
