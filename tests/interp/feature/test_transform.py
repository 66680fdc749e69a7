"""Random views: read off pictures whose colours say where each pixel came from."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from interp.ascent import identity
from interp.feature.spatial import RandomAffine
from interp.feature.transform import HELD_OUT_TRANSFORM
from interp.seeds import generators


def coordinates(rows: int, height: int, width: int) -> Tensor:
    """Pictures whose channels are, at each pixel, its row and its column from the centre, in
    thousandths of a pixel from 0.5.
    """
    y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (height, width)),
        indexing="ij",
    )
    return (0.5 + torch.stack([y, x]) / 1000).expand(rows, 2, height, width)


def mappings(
    affine: RandomAffine, rows: int, height: int = 48, width: int = 48
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The affine map from view to picture of each row, (rows, 2, 3), rows and columns in pixels
    from the centre.

    Bilinear interpolation of a plane is exact, so that the middle of a view tells it to rounding.
    """
    picture = coordinates(rows, height, width)
    view = (affine(picture, generators(0, 0, rows)) - 0.5) * 1000
    top, left = height * 3 // 8, width * 3 // 8
    middle = (slice(None), slice(None), slice(top, height - top), slice(left, width - left))
    places = ((picture - 0.5) * 1000)[middle][0].flatten(1).numpy()
    design = np.concatenate([places, np.ones_like(places[:1])]).T  # (P, 3)
    found = []
    for seen in view[middle].flatten(2).numpy():
        solution, residual, _, _ = np.linalg.lstsq(design, seen.T, rcond=None)
        assert residual.max() < 1e-12
        found.append(solution.T)
    return np.stack(found)


SQUARE = (48, 48)


@pytest.mark.parametrize("size", [SQUARE, (40, 60)])
@pytest.mark.parametrize(
    "affine",
    [
        RandomAffine(),
        RandomAffine(0.05, 20, (0.8, 1.2)),
        RandomAffine(0, 15, (1, 1)),
        RandomAffine(0.05, 0, (1, 1)),
        RandomAffine(0, 0, (0.9, 2)),
        HELD_OUT_TRANSFORM,
    ],
)
def test_views_are_turned_scaled_and_shifted_up_to_their_limits(
    affine: RandomAffine, size: tuple[int, int]
) -> None:
    maps = mappings(affine, 200, *size)
    linear, shift = maps[:, :, :2], maps[:, :, 2] / size
    zoom = np.asarray(np.sqrt(np.abs(np.linalg.det(linear))))
    turn = np.degrees(np.arctan2(linear[:, 0, 1], linear[:, 0, 0]))
    rotation = linear / zoom.reshape(-1, 1, 1)
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.stack([np.eye(2)] * 200), atol=1e-9
    )  # and nothing else
    least, most = np.log(affine.zoom)
    for seen, limit in [
        (turn, affine.degrees),
        (-np.log(zoom) - (least + most) / 2, (most - least) / 2),
        *((s, affine.translate) for s in shift.T),
    ]:
        assert np.abs(seen).max() <= limit + 1e-6
        assert seen.max() >= 0.9 * limit  # to both sides
        assert seen.min() <= -0.9 * limit
        assert abs(seen.mean()) <= 4 * limit / math.sqrt(3 * 200) + 1e-9
    if affine.translate:
        assert abs(stats.pearsonr(*shift.T).statistic) < 0.3


def test_what_comes_in_is_gray() -> None:
    white = torch.ones(20, 3, 16, 16, dtype=torch.float64)
    view = RandomAffine(translate=0.3)(white, generators(0, 0, 20))
    assert view.min() == 0.5
    assert view.max() <= 1 + 1e-12
    black = RandomAffine(translate=0.3)(torch.zeros_like(white), generators(0, 0, 20))
    torch.testing.assert_close(black, 1 - view, rtol=0, atol=1e-12)


def test_no_movement_is_no_change() -> None:
    picture = torch.rand(
        3, 3, 9, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    torch.testing.assert_close(
        RandomAffine(0, 0, (1, 1))(picture, generators(0, 0, 3)), picture, rtol=0, atol=1e-9
    )
    assert identity(picture, generators(0, 0, 3)) is picture


def test_a_view_belongs_to_the_row() -> None:
    picture = torch.rand(
        1, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).expand(4, -1, -1, -1)
    whole = RandomAffine()(picture, generators(3, 0, 4))
    for row in range(4):
        torch.testing.assert_close(
            RandomAffine()(picture[:1], generators(3, row, 1))[0], whole[row], rtol=0, atol=1e-12
        )
    assert not torch.isclose(whole[0], whole[1]).all()
    rows = generators(3, 0, 4)
    first, second = (
        RandomAffine()(picture, rows),
        RandomAffine()(picture, rows),
    )  # each view is a new one
    assert not torch.isclose(first, second).all()


def test_gradients_pass_through_a_view() -> None:
    picture = torch.rand(
        2, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: RandomAffine()(x, generators(0, 0, 2)), (picture,), fast_mode=True
    )
