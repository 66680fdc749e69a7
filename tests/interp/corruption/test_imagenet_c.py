"""The corruptions against their published definitions, written out image by image, and what all of
them must keep.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import Tensor

from interp.corruption.ice import ice_pattern
from interp.corruption.imagenet_c import CORRUPTIONS, SEVERITIES, corrupt
from interp.seeds import generators
from tests.interp.corruption import oracles_published as published

DEFINED = [name for name in CORRUPTIONS if name != "frost"]
DETERMINISTIC = {
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
}


def pictures(rows: int, height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    """Pictures of 8-bit levels in which, as in photographs, the coarse is stronger than the
    fine.
    """
    rng = np.random.default_rng(seed)
    x = np.zeros((rows, channels, height, width))
    for sigma in (0.5, 1, 2, 4, 8, 16):
        octave = ndimage.gaussian_filter(
            rng.standard_normal(x.shape), (0, 0, sigma, sigma), mode="wrap"
        )
        x += octave / octave.std() * math.sqrt(sigma)
    x = 0.5 + 0.2 * x / x.std()
    return torch.from_numpy(np.rint(x.clip(0, 1) * 255) / 255)


def expected(name: str, x: Tensor, severity: int, first: int) -> Tensor:
    parameters = CORRUPTIONS[name].parameters(severity, min(x.shape[2:]))
    rows = zip(x.numpy(), generators(0, first, len(x)), strict=True)
    return torch.from_numpy(
        np.stack([getattr(published, name)(image, g, *parameters).clip(0, 1) for image, g in rows])
    )


def close(name: str, ours: Tensor, theirs: Tensor) -> None:
    tolerance = {"pixelate": 1e-6, "impulse_noise": 0, "shot_noise": 0}.get(
        name, 1e-9
    )  # Pillow counts in float32
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", DEFINED)
def test_corruptions_are_those_published(name: str) -> None:
    x = pictures(2, 32, 32)
    for severity in range(1, SEVERITIES + 1):
        close(name, corrupt(name, x, severity, generators(0, 5, 2)), expected(name, x, severity, 5))


@pytest.mark.parametrize(
    ("height", "width", "channels", "severity"), [(40, 57, 3, 4), (61, 33, 1, 2), (9, 11, 3, 3)]
)
@pytest.mark.parametrize("name", DEFINED)
def test_corruptions_are_those_published_at_other_shapes(
    name: str, height: int, width: int, channels: int, severity: int
) -> None:
    x = pictures(2, height, width, channels)
    close(name, corrupt(name, x, severity, generators(0, 1, 2)), expected(name, x, severity, 1))


@pytest.mark.parametrize(
    ("name", "severity"),
    [(name, 5) for name in DEFINED] + [("glass_blur", 3), ("elastic_transform", 2)],
)
def test_corruptions_are_those_published_at_the_size_of_imagenet(name: str, severity: int) -> None:
    x = pictures(1, 224, 224)
    close(name, corrupt(name, x, severity, generators(0, 0, 1)), expected(name, x, severity, 0))


PUBLISHED = {  # (severity 1, severity 5) at 32 px, at 224 px; lengths in pixels
    "gaussian_noise": ([0.04], [0.10], [0.08], [0.38]),
    "shot_noise": ([500], [50], [60], [3]),
    "impulse_noise": ([0.01], [0.07], [0.03], [0.27]),
    "defocus_blur": ([0.3, 0.4], [1.5, 0.1], [3, 0.1], [10, 0.5]),
    "glass_blur": ([0.05, 1, 1], [0.4, 1, 2], [0.7, 1, 2], [1.5, 4, 2]),
    "motion_blur": ([6, 1], [9, 2.5], [10, 3], [20, 15]),
    "zoom_blur": ([1.06, 0.01], [1.26, 0.01], [1.11, 0.01], [1.31, 0.03]),
    "snow": (
        [0.1, 0.2, 1, 0.6, 8, 3, 0.95],
        [0.3, 0.3, 1.25, 0.65, 14, 12, 0.8],
        [0.1, 0.3, 3, 0.5, 10, 4, 0.8],
        [0.55, 0.3, 2.5, 0.85, 12, 12, 0.55],
    ),
    "frost": ([1, 0.2], [0.75, 0.45], [1, 0.4], [0.6, 0.75]),
    "fog": ([0.2, 3], [1.5, 1.75], [1.5, 2], [3, 1.4]),
    "brightness": ([0.05], [0.3], [0.1], [0.5]),
    "contrast": ([0.75], [0.15], [0.4], [0.05]),
    "elastic_transform": ([0, 0, 2.56], [3.2, 0.96, 0.96], [488, 170.8, 24.4], [29.28, 2.44, 4.88]),
    "pixelate": ([0.95], [0.65], [0.6], [0.25]),
    "jpeg_compression": ([80], [40], [25], [7]),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_parameters_are_those_published_and_between_them_in_between(name: str) -> None:
    corruption = CORRUPTIONS[name]
    assert len(corruption.small) == len(corruption.large) == SEVERITIES
    for severity, small, large in ((1, *PUBLISHED[name][::2]), (5, *PUBLISHED[name][1::2])):
        for side, values in ((32, small), (224, large)):
            unit = side if name == "elastic_transform" else 1
            assert [
                unit * value for value in corruption.parameters(severity, side)
            ] == pytest.approx(values, rel=1e-12)
        assert corruption.parameters(severity, 8) == corruption.parameters(severity, 32)
        assert corruption.parameters(severity, 299) == corruption.parameters(severity, 224)
        low, high = (
            np.array(corruption.parameters(severity, 32)),
            np.array(corruption.parameters(severity, 224)),
        )
        for side in (64, 128):
            share = math.log2(side / 32) / math.log2(7)
            np.testing.assert_allclose(
                corruption.parameters(severity, side),
                low + share * (high - low),
                rtol=1e-12,
                atol=1e-15,
            )


def test_noises_are_distributed_as_named() -> None:
    rows, level = 40, 0.5
    x = torch.full((rows, 3, 64, 64), level, dtype=torch.float64)
    noise = corrupt("gaussian_noise", x, 1, generators(0, 0, rows)) - level
    sigma = CORRUPTIONS["gaussian_noise"].parameters(1, 64)[0]
    assert stats.kstest(noise.flatten(), stats.norm(scale=sigma).cdf).pvalue > 1e-3
    (photons,) = CORRUPTIONS["shot_noise"].parameters(2, 64)
    counted = corrupt("shot_noise", x, 2, generators(0, 0, rows)) * photons
    assert counted.mean() == pytest.approx(photons * level, rel=0.01)
    assert counted.var() == pytest.approx(photons * level, rel=0.02)
    torch.testing.assert_close(counted, counted.round(), rtol=0, atol=1e-9)
    (share,) = CORRUPTIONS["impulse_noise"].parameters(5, 64)
    hit = corrupt("impulse_noise", x, 5, generators(0, 0, rows))
    for value in (0, 1):
        assert (hit == value).double().mean() == pytest.approx(share / 2, rel=0.03)
    assert (hit == level).double().mean() == pytest.approx(1 - share, rel=0.01)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_alone_is_an_image_in_company(name: str) -> None:
    for channels, severity in itertools.product((1, 3), (1, 5)):
        x = pictures(3, 24, 20, channels)
        before = x.clone()
        whole = corrupt(name, x, severity, generators(3, 10, 3))
        assert whole.shape == x.shape
        assert whole.dtype == x.dtype
        assert 0 <= whole.min() <= whole.max() <= 1
        assert torch.equal(whole, corrupt(name, x, severity, generators(3, 10, 3)))
        for row in range(3):
            alone = corrupt(name, x[row : row + 1], severity, generators(3, 10 + row, 1))
            torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=1e-12)
        assert torch.equal(x, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_rows_draw_their_own(name: str) -> None:
    x = pictures(1, 32, 32).expand(2, -1, -1, -1)
    one, other = corrupt(name, x, 5, generators(0, 0, 2))
    assert torch.isclose(one, other, atol=1e-12).all() == (name in DETERMINISTIC)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_single_precision_gives_the_same(name: str) -> None:
    x = pictures(2, 32, 32)
    double, single = (
        corrupt(name, x, 3, generators(0, 0, 2)),
        corrupt(name, x.float(), 3, generators(0, 0, 2)),
    )
    assert single.dtype == torch.float32
    assert (
        (single.double() - double).abs() > 1e-3
    ).double().mean() < 0.002  # but for a threshold passed by rounding
    assert corrupt(name, x[:0], 3, []).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_tiny_images_are_corrupted_too(name: str) -> None:
    for severity, shape in itertools.product((1, 5), [(1, 1), (2, 3), (1, 12), (8, 8)]):
        found = corrupt(name, pictures(2, *shape), severity, generators(0, 0, 2))
        assert found.shape == (2, 3, *shape)
        assert 0 <= found.min() <= found.max() <= 1
        assert found.isfinite().all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_black_and_white_images_stay_finite(name: str) -> None:
    for level in (0.0, 1.0):
        found = corrupt(name, torch.full((1, 3, 16, 16), level), 5, generators(0, 0, 1))
        assert found.isfinite().all()


@pytest.mark.parametrize("side", [32, 64, 224])
@pytest.mark.parametrize("name", [n for n in CORRUPTIONS if n != "elastic_transform"])
def test_the_more_severe_the_more_is_changed(name: str, side: int) -> None:
    """Elastic transforms are not so by definition: the published parameters give up skew for finer
    displacements.
    """
    x = pictures(8 if side < 224 else 1, side, side)
    change = [
        (corrupt(name, x, severity, generators(0, 0, len(x))) - x).square().mean()
        for severity in range(1, SEVERITIES + 1)
    ]
    assert change[0] > 0
    assert change[0] < change[-1]
    if side != 64 and name not in {
        "glass_blur",
        "frost",
    }:  # of which one's blur, the other's share of the image, do not always rise
        assert change == sorted(change)
        assert len(set(change)) == SEVERITIES


def test_frost_is_the_image_and_ice() -> None:
    x, rows = pictures(3, 48, 40), 3
    pattern = ice_pattern(x, generators(0, 0, rows))
    keep, amount = CORRUPTIONS["frost"].parameters(4, 40)
    torch.testing.assert_close(
        corrupt("frost", x, 4, generators(0, 0, rows)), (keep * x + amount * pattern).clamp(0, 1)
    )


def test_ice_is_bright_uneven_bluish_and_the_same_at_every_size() -> None:
    large, small = (
        ice_pattern(torch.zeros(20, 3, 128, 128), generators(0, 0, 20)),
        ice_pattern(torch.zeros(20, 3, 32, 32), generators(0, 0, 20)),
    )
    for pattern in (large, small):
        assert 0 <= pattern.min() <= pattern.max() <= 1
        assert 0.35 < pattern.mean() < 0.65
        assert (pattern.flatten(1).std(1) > 0.08).all()
        red, green, blue = pattern.mean((0, 2, 3))
        assert red < green < blue
    reduced = torch.nn.functional.avg_pool2d(large, 4)
    assert np.corrcoef(reduced.flatten(), small.flatten())[0, 1] > 0.99
    assert abs(np.corrcoef(large[0].flatten(), large[1].flatten())[0, 1]) < 0.5
    gray = ice_pattern(torch.zeros(2, 1, 64, 96), generators(0, 0, 2))
    assert gray.shape == (2, 1, 64, 96)


@pytest.mark.parametrize(
    ("name", "shape", "severity", "rows", "message"),
    [
        ("gaussian", (1, 3, 8, 8), 1, 1, "corruption: 'gaussian' is none of gaussian_noise, "),
        ("fog", (1, 3, 8, 8), 0, 1, "severity: 0 is not a whole number from 1 to 5"),
        ("fog", (1, 3, 8, 8), 6, 1, "severity: 6"),
        ("fog", (1, 4, 8, 8), 1, 1, r"images: shape \(1, 4, 8, 8\)"),
        ("fog", (3, 8, 8), 1, 3, "images: shape"),
        ("fog", (2, 3, 8, 8), 1, 1, "rows: 1 generators for 2 images"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(
    name: str, shape: tuple[int, ...], severity: int, rows: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        corrupt(name, torch.rand(shape), severity, generators(0, 0, rows))
