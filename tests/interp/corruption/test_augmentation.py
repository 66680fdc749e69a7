"""Everyday changes against torchvision's functions, one image at a time, and what all of them must
keep.
"""

from collections.abc import Callable

import pytest
import torch
import torchvision.transforms.functional as tv
from scipy import ndimage, stats
from torch import Tensor

from interp.corruption.augmentation import (
    AUGMENTATIONS,
    augment,
    relight,
)
from interp.corruption.geometry import crop, displace, rotate, scale, shear, translate
from interp.seeds import generators, normal, uniform
from tests.interp.toys_networks import images

BILINEAR = tv.InterpolationMode.BILINEAR
AMOUNTS = torch.tensor([-60.0, -3.5, 0.0, 20.0, 75.0], dtype=torch.float64)
SIZES = [(24, 24), (17, 30)]
TYPICAL = {
    "rotation": 20.0,
    "translation": 0.2,
    "scaling": 0.3,
    "shear": 20.0,
    "mirroring": 0.5,
    "cropping": 0.3,
    "noise": 0.1,
    "lighting": 0.4,
    "elastic": 0.03,
}


def pictures(rows: int, height: int = 24, width: int = 24, channels: int = 3) -> Tensor:
    return images(rows, max(height, width), channels=channels)[:, :, :height, :width].clone()


def one_by_one(x: Tensor, change: Callable[[Tensor, int], Tensor]) -> Tensor:
    return torch.cat([change(image[None], row) for row, image in enumerate(x)])


def close(ours: Tensor, theirs: Tensor, atol: float = 1e-5) -> None:
    """torchvision builds its grids in float32."""
    torch.testing.assert_close(ours, theirs.to(ours), rtol=0, atol=atol)


@pytest.mark.parametrize("size", SIZES)
def test_affine_changes_are_those_of_torchvision(size: tuple[int, int]) -> None:
    x = pictures(5, *size)
    plain = {"translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], "interpolation": BILINEAR}
    degrees = [float(a) for a in AMOUNTS]
    close(
        rotate(x, AMOUNTS),
        one_by_one(x, lambda image, row: tv.rotate(image, degrees[row], BILINEAR)),
    )
    close(
        shear(x, AMOUNTS),
        one_by_one(
            x, lambda image, row: tv.affine(image, 0, **{**plain, "shear": [degrees[row], 0.0]})
        ),
    )
    factors = torch.tensor([0.3, 0.8, 1.0, 1.25, 3.0], dtype=torch.float64)
    close(
        scale(x, factors),
        one_by_one(
            x, lambda image, row: tv.affine(image, 0, **{**plain, "scale": float(factors[row])})
        ),
    )
    moves = torch.tensor([[3, -2], [-1, 0], [0, 0], [0, 7], [-20, 4]], dtype=torch.float64)
    ours = translate(x, moves)
    close(
        ours,
        one_by_one(
            x,
            lambda image, row: tv.affine(
                image, 0, **{**plain, "translate": moves[row].int().tolist()}
            ),
        ),
    )


def test_translations_by_parts_of_a_pixel_are_those_of_scipy() -> None:
    x = pictures(3, 17, 30)
    moves = torch.tensor([[0.25, -3.5], [-2.75, 1.125], [6.5, 6.5]], dtype=torch.float64)
    theirs = [
        ndimage.shift(image, (0, float(down), float(right)), order=1, mode="grid-constant")
        for image, (right, down) in zip(x, moves, strict=True)
    ]
    torch.testing.assert_close(
        translate(x, moves),
        torch.stack([torch.from_numpy(image) for image in theirs]),
        rtol=0,
        atol=1e-9,
    )


@pytest.mark.parametrize("size", SIZES)
def test_crops_are_those_of_torchvision(size: tuple[int, int]) -> None:
    x = pictures(4, *size)
    height, width = 11, 9
    top, left = torch.tensor([0, 3, size[0] - height, 2]), torch.tensor([0, size[1] - width, 5, 4])

    def resized(image: Tensor, row: int) -> Tensor:
        return tv.resized_crop(  # type: ignore[no-any-return]
            image,
            int(top[row]),
            int(left[row]),
            height,
            width,
            list(size),
            BILINEAR,
            antialias=False,
        )

    close(crop(x, top, left, height, width), one_by_one(x, resized), 1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_lighting_is_that_of_torchvision(channels: int) -> None:
    x = pictures(4, channels=channels)
    light, contrast = torch.tensor([0.0, 0.6, 1.0, 1.7]), torch.tensor([0.5, 1.8, 1.0, 0.0])

    def changed(image: Tensor, row: int) -> Tensor:
        return tv.adjust_contrast(  # type: ignore[no-any-return]
            tv.adjust_brightness(image, float(light[row])), float(contrast[row])
        )

    close(
        relight(x, light.double(), contrast.double()).clamp(0, 1), one_by_one(x, changed), 1e-4
    )  # its luma weights are rounded


@pytest.mark.parametrize("size", SIZES)
def test_displacements_are_those_of_torchvision(size: tuple[int, int]) -> None:
    x = pictures(3, *size)
    right, down = 3 * torch.randn(
        2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    relative = torch.stack(
        [2 * right / size[1], 2 * down / size[0]], 3
    )  # it measures each side from -1 to 1
    close(
        displace(x, right, down),
        one_by_one(
            x,
            lambda image, row: tv.elastic_transform(
                image, relative[row : row + 1], BILINEAR, fill=None
            ),
        ),
    )


@pytest.mark.parametrize("size", SIZES)
def test_amounts_are_drawn_up_to_the_magnitude(size: tuple[int, int]) -> None:
    x, rows = pictures(50, *size), 50

    def drawn(*shape: int) -> Tensor:
        return uniform(generators(0, 0, rows), shape, x)

    def changed(name: str) -> Tensor:
        return augment(name, x, TYPICAL[name], generators(0, 0, rows))

    close(changed("rotation"), rotate(x, 20 * drawn()))
    close(changed("shear"), shear(x, 20 * drawn()))
    close(changed("scaling"), scale(x, 1.3 ** drawn()))
    close(changed("translation"), translate(x, 0.2 * drawn(2) * torch.tensor([size[1], size[0]])))
    close(changed("lighting"), relight(x, *(1 + 0.4 * drawn(2)).unbind(1)).clamp(0, 1))
    close(changed("noise"), (x + 0.1 * normal(generators(0, 0, rows), x.shape[1:], x)).clamp(0, 1))


def test_as_many_are_mirrored_as_asked_for() -> None:
    x = pictures(400, 4, 6)
    mirrored = tv.hflip(x)
    for share in (0, 0.25, 1):
        found = augment("mirroring", x, share, generators(1, 0, 400))
        flipped = (found == mirrored).flatten(1).all(1)
        assert torch.equal(found[~flipped], x[~flipped])
        assert stats.binomtest(int(flipped.sum()), 400, share).pvalue > 1e-3


def test_crops_reach_every_place() -> None:
    """Of a ramp, a crop shows where it was taken."""
    side, magnitude, rows = 20, 0.3, 300
    ramp = (torch.arange(side, dtype=torch.float64) / side).expand(rows, 1, side, side)
    for picture in (ramp, ramp.mT):
        found = augment("cropping", picture, magnitude, generators(0, 0, rows))
        first, last = (found.flatten(1) * side).amin(1), (found.flatten(1) * side).amax(1)
        torch.testing.assert_close(last - first, torch.full_like(first, 13))
        assert sorted(set(first.round().int().tolist())) == list(range(7))


def test_elastic_displacements_are_smooth_and_as_large_as_asked_for() -> None:
    rows, side, magnitude = 20, 64, 0.02
    at = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / 1000
    picture = (0.5 + torch.stack([at.expand(side, side), at[:, None].expand(side, side)])).expand(
        rows, 2, side, side
    )
    moved = []
    for channel in range(2):
        found = augment(
            "elastic", picture[:, channel : channel + 1], magnitude, generators(0, 0, rows)
        )
        inner = (found - picture[:, channel : channel + 1])[
            ..., 8:-8, 8:-8
        ]  # the black beyond the edges is out of reach
        moved.append(inner * 1000)  # pixels
    field = torch.cat(moved, 1)
    length = field.square().sum(1).mean().sqrt() / side
    assert length == pytest.approx(magnitude, rel=0.15)
    assert field.diff(dim=3).abs().amax() < 1  # or the picture would be folded over
    assert field.mean().abs() < 0.2 * magnitude * side


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_image_alone_is_an_image_in_company(name: str, channels: int) -> None:
    x = pictures(4, 20, 26, channels)
    before = x.clone()
    whole = augment(name, x, TYPICAL[name], generators(3, 10, 4))
    assert whole.shape == x.shape
    assert whole.dtype == x.dtype
    assert 0 <= whole.min() <= whole.max() <= 1
    assert torch.equal(whole, augment(name, x, TYPICAL[name], generators(3, 10, 4)))
    for row in range(4):
        alone = augment(name, x[row : row + 1], TYPICAL[name], generators(3, 10 + row, 1))
        torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=1e-12)
    assert torch.equal(x, before)
    assert not torch.isclose(whole, x).flatten(1).all(1).all()
    single = augment(name, x.float(), TYPICAL[name], generators(3, 10, 4))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_no_magnitude_is_no_change(name: str) -> None:
    x = pictures(3, 20, 26)
    torch.testing.assert_close(augment(name, x, 0, generators(0, 0, 3)), x, rtol=0, atol=1e-9)
    assert augment(name, x[:0], TYPICAL[name], []).shape == (0, 3, 20, 26)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_larger_the_magnitude_the_more_is_changed(name: str) -> None:
    x = (
        torch.from_numpy(ndimage.gaussian_filter(pictures(40, 32, 32).numpy(), (0, 0, 2, 2)))
        .mul(4)
        .sub(1.5)
        .clamp(0, 1)
    )
    change = [
        (augment(name, x, TYPICAL[name] * share, generators(0, 0, 40)) - x).square().mean()
        for share in (0.2, 0.5, 1)
    ]
    assert 0 < change[0] < change[1] < change[2]


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 5)])
def test_the_largest_magnitude_on_the_smallest_images_stays_finite(
    name: str, shape: tuple[int, int]
) -> None:
    found = augment(name, pictures(2, *shape), AUGMENTATIONS[name].most, generators(0, 0, 2))
    assert found.shape == (2, 3, *shape)
    assert 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize(
    ("name", "shape", "magnitude", "rows", "message"),
    [
        ("rotate", (1, 3, 8, 8), 1, 1, "augmentation: 'rotate' is none of rotation, "),
        ("rotation", (1, 3, 8, 8), -1, 1, "magnitude: -1 is not from 0 to 180 "),
        (
            "mirroring",
            (1, 3, 8, 8),
            1.5,
            1,
            r"magnitude: 1.5 is not from 0 to 1 \(mirroring: probability",
        ),
        ("noise", (1, 3, 8, 8), float("nan"), 1, "magnitude: nan"),
        ("noise", (1, 2, 8, 8), 0.1, 1, "images: shape"),
        ("noise", (2, 3, 8, 8), 0.1, 3, "rows: 3 generators for 2 images"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    name: str, shape: tuple[int, ...], magnitude: float, rows: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        augment(name, torch.rand(shape), magnitude, generators(0, 0, rows))
