"""The parts of random views: read off pictures, against index computations, and in composition."""

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.ascent import Transform
from interp.feature.params.maco import MACO_TRANSFORMS
from interp.feature.spatial import (
    AffineTransform,
    Crop,
    Jitter,
    Mirror,
    Pad,
    RandomAffine,
    Rotate,
    Scale,
    warp,
)
from interp.feature.transform import (
    HELD_OUT_TRANSFORM,
    HELD_OUT_VIEWS,
    Compose,
    Noise,
    held_out_view,
)
from interp.seeds import generators, normal, uniform
from tests.interp.toys_networks import images

ROWS = 60
LIKE = torch.zeros((), dtype=torch.float64)

VIEWS: dict[str, tuple[Transform, Transform]] = {  # with an amount, and with none
    "jitter": (Jitter(0.2), Jitter(0.0)),
    "rotate": (Rotate(30), Rotate(0)),
    "scale": (Scale(0.3), Scale(0)),
    "pad": (Pad(0.2), Pad(0)),
    "crop": (Crop(0.4, 0.1), Crop(1.0, 0.0)),
    "noise": (Noise(0.1, 0.2), Noise(0)),
    "mirror": (Mirror(0.5), Mirror(0)),
    "random affine": (RandomAffine(), RandomAffine(0, 0, (1, 1))),
    "maco": (Compose(MACO_TRANSFORMS), Compose((Crop(1, 0), Noise(0)))),
    "composed": (Compose((Mirror(), Noise(0.1), Rotate(10), Scale(0.1), Jitter(0.1))), Compose(())),
}
every_view = pytest.mark.parametrize("name", VIEWS)


def oblong(rows: int) -> Tensor:
    """Random images (rows, 3, 10, 15)."""
    return images(rows, 15)[:, :, :10].contiguous()


@every_view
def test_views_keep_the_size_and_no_amount_is_no_change(name: str) -> None:
    x = oblong(4)
    some, none = VIEWS[name]
    assert some(x, generators(0, 0, 4)).shape == x.shape
    assert not torch.isclose(some(x, generators(0, 0, 4)), x).all()
    torch.testing.assert_close(none(x, generators(0, 0, 4)), x, rtol=0, atol=1e-12)


@every_view
def test_seeds_repeat_and_views_belong_to_their_rows(name: str) -> None:
    x, view = oblong(4), VIEWS[name][0]
    whole = view(x, generators(3, 0, 4))
    assert torch.equal(view(x, generators(3, 0, 4)), whole)
    for row in range(4):
        torch.testing.assert_close(
            view(x[row : row + 1], generators(3, row, 1))[0], whole[row], rtol=0, atol=1e-12
        )
    if name != "pad":
        assert any(
            not torch.isclose(view(x, generators(seed, 0, 4)), whole).all() for seed in range(4, 8)
        )


@every_view
def test_gradients_pass(name: str) -> None:
    x = oblong(2)[:, :1, :5, :6].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: VIEWS[name][0](z, generators(0, 0, 2)), (x,), fast_mode=True
    )


def test_jitter_shifts_by_whole_pixels() -> None:
    x = oblong(ROWS)
    wide = np.pad(x.numpy(), ((0, 0), (0, 0), (10, 10), (15, 15)), constant_values=0.5)
    seen = set()
    for row, view in enumerate(Jitter(0.2)(x, generators(0, 0, ROWS)).numpy()):
        fits = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if np.allclose(
                view, wide[row, :, 10 + down : 20 + down, 15 + right : 30 + right], atol=1e-9
            )
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert {down for down, _ in seen} == set(range(-2, 3))
    assert {right for _, right in seen} == set(range(-3, 4))


@pytest.mark.parametrize(("sign", "times"), [(1.0, 1), (-1.0, 3)])
def test_right_angles_are_index_computations(sign: float, times: int) -> None:
    x = images(2, 9)
    quarter = torch.tensor(
        [[0.0, -sign, 0.0], [sign, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=x.dtype
    ).expand(2, -1, -1)
    torch.testing.assert_close(warp(x, quarter), x.rot90(times, (2, 3)), rtol=0, atol=1e-12)
    one = Rotate(180).matrix(x, generators(0, 0, 2))
    halfway = Rotate(90).matrix(x, generators(0, 0, 2))
    torch.testing.assert_close(
        halfway @ halfway, one, rtol=0, atol=1e-6
    )  # angles are in proportion to the limit


def matrices(
    view: AffineTransform, rows: int = 300
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return view.matrix(oblong(1).expand(rows, -1, -1, -1), generators(0, 0, rows)).numpy()


def test_turns_keep_lengths_and_reach_their_limit() -> None:
    found = matrices(Rotate(40))
    pixels = np.diag([15 / 2, 10 / 2, 1])  # from -1 to 1 to pixels
    turns = pixels @ found @ np.linalg.inv(pixels)
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9
    )
    angles = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
    assert 36 < angles.max() <= 40
    assert -40 <= angles.min() < -36


def test_scales_and_crops_have_the_sizes_that_they_say() -> None:
    zooms = 1 / matrices(Scale(0.3))[:, 0, 0]
    assert 0.7 <= zooms.min() < 0.72
    assert 1.28 < zooms.max() <= 1.3
    crops = matrices(Crop(0.4, 0.1))
    sides = crops[:, 0, 0]
    assert sides.mean() == pytest.approx(0.4, abs=0.03)
    assert sides.std() == pytest.approx(0.1, abs=0.02)
    for axis in (0, 1):
        np.testing.assert_allclose(crops[:, axis, axis], sides)
        assert (np.abs(crops[:, axis, 2]) + sides <= 1 + 1e-6).all()  # within the picture
        assert crops[:, axis, 2].std() / 2 == pytest.approx(0.15, abs=0.03)
    assert matrices(Crop(0.1, 0.5))[:, 0, 0].min() == pytest.approx(0.05)
    assert matrices(Crop(0.9, 0.5))[:, 0, 0].max() == 1
    assert matrices(Crop(0.01, 0.0))[:, 0, 0].max() == pytest.approx(0.01)


def test_a_crop_is_a_part_drawn_large() -> None:
    """A crop of half the side about the middle, of a plane, which bilinear interpolation keeps
    exactly.
    """
    y, x = torch.meshgrid(
        torch.arange(8, dtype=torch.float64), torch.arange(8, dtype=torch.float64), indexing="ij"
    )
    plane = ((y + 10 * x) / 100)[None, None]
    matrix = torch.diag(torch.tensor([0.5, 0.5, 1.0], dtype=torch.float64))[None]
    expected = ((y - 3.5) / 2 + 3.5 + 10 * ((x - 3.5) / 2 + 3.5)) / 100
    torch.testing.assert_close(warp(plane, matrix)[0, 0], expected, rtol=0, atol=1e-12)


def test_a_margin_is_gray_and_holds_the_whole_picture() -> None:
    white = torch.ones(1, 1, 40, 40, dtype=torch.float64)
    view = Pad(0.5)(white, generators(0, 0, 1))[0, 0]
    assert (view[11:29, 11:29] == 1).all()
    assert (view[:9] == 0.5).all()
    assert (view[:, 31:] == 0.5).all()


def test_mirrors_swap_left_and_right_as_often_as_they_say() -> None:
    x = oblong(ROWS)
    view = Mirror(0.25)(x, generators(0, 0, ROWS))
    flipped = [row for row in range(ROWS) if torch.allclose(view[row], x[row].flip(2), atol=1e-12)]
    kept = [row for row in range(ROWS) if torch.allclose(view[row], x[row], atol=1e-12)]
    assert sorted(flipped + kept) == list(range(ROWS))
    assert 0.1 < len(flipped) / ROWS < 0.45
    torch.testing.assert_close(
        Mirror(1.0)(x, generators(0, 0, ROWS)), x.flip(3), rtol=0, atol=1e-12
    )


def test_noise_has_its_deviation_and_width() -> None:
    gray = torch.full((20, 3, 32, 32), 0.5, dtype=torch.float64)
    noise = Noise(0.1)(gray, generators(0, 0, 20)) - 0.5
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert abs(noise.mean().item()) < 0.002
    even = Noise(0.0, 0.4)(gray, generators(0, 0, 20)) - 0.5
    assert even.abs().max() <= 0.2
    assert even.std().item() == pytest.approx(0.4 / 12**0.5, rel=0.02)
    drawn = generators(0, 0, 20)
    both = normal(drawn, gray.shape[1:], LIKE) * 0.1 + uniform(drawn, gray.shape[1:], LIKE) * 0.2
    torch.testing.assert_close(
        Noise(0.1, 0.4)(gray, generators(0, 0, 20)), 0.5 + both, rtol=0, atol=1e-12
    )


def test_movements_that_follow_each_other_are_one() -> None:
    """Of a smooth picture, one after the other and at once agree where neither sees outside; where
    they do not, nothing is cut off.
    """
    y, x = torch.meshgrid(
        torch.linspace(0, 1, 64, dtype=torch.float64),
        torch.linspace(0, 1, 64, dtype=torch.float64),
        indexing="ij",
    )
    smooth = (0.5 + 0.3 * (3 * y).sin() * (2 * x).cos())[None, None].expand(8, -1, -1, -1)
    parts = (Rotate(10), Jitter(0.1), Scale(0.1), Mirror())
    at_once = Compose(parts)(smooth, generators(0, 0, 8))
    rows, stepwise = generators(0, 0, 8), smooth
    for part in parts:
        stepwise = part(stepwise, rows)
    middle = (slice(None), slice(None), slice(20, 44), slice(20, 44))
    torch.testing.assert_close(at_once[middle], stepwise[middle], rtol=0, atol=1e-3)
    there_and_back = Compose((Pad(0.25), Crop(1 / 1.5, 0)))
    x8, rows8 = oblong(1), generators(0, 0, 1)
    drawn = Crop(1 / 1.5, 0).matrix(x8, generators(0, 0, 1))
    middle_of = there_and_back(x8, rows8)
    zoomed = drawn.clone()
    zoomed[:, [0, 1], [0, 1]] = 1.0
    zoomed[:, :2, 2] *= 1.5
    torch.testing.assert_close(middle_of, warp(x8, zoomed), rtol=0, atol=1e-12)


def test_what_does_not_move_stands_between() -> None:
    x = oblong(3)
    rows = generators(1, 0, 3)
    expected = Jitter(0.1)(Noise(0.2)(Rotate(5)(x, rows), rows), rows)
    torch.testing.assert_close(
        Compose((Rotate(5), Noise(0.2), Jitter(0.1)))(x, generators(1, 0, 3)),
        expected,
        rtol=0,
        atol=1e-12,
    )


def test_held_out_views_are_fixed_different_and_nobodys() -> None:
    x = oblong(1).expand(3, -1, -1, -1)
    views = [held_out_view(x, number) for number in range(HELD_OUT_VIEWS)]
    for number, view in enumerate(views):
        assert torch.equal(view, held_out_view(x, number))
        torch.testing.assert_close(
            view[0], view[2], rtol=0, atol=1e-12
        )  # the same for every picture
        assert all(not torch.isclose(view, other).all() for other in views[:number])
    drawn = torch.cat([HELD_OUT_TRANSFORM(x, generators(seed, 0, 3)) for seed in range(30)])
    assert all((view[:1] - drawn).abs().amax((1, 2, 3)).min() > 1e-3 for view in views)
    with pytest.raises(ValueError, match="from 0 to 15"):
        held_out_view(x, 16)


def test_maco_sees_most_of_a_picture_at_once_at_nearly_its_size() -> None:
    crop = Compose(MACO_TRANSFORMS).transforms[0]
    assert isinstance(crop, Crop)
    sides = crop.matrix(torch.zeros(400, 3, 8, 8), generators(0, 0, 400))[:, 0, 0]
    assert 0.7 < sides.mean() < 0.8
    assert sides.min() > 0.4
