"""The perturbation made visible."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from service.report import magnified


def decoded(data: bytes) -> npt.NDArray[np.int64]:
    """The pixels of a PNG as (C, H, W)."""
    pixels = np.asarray(Image.open(io.BytesIO(data))).astype(np.int64)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


@pytest.mark.parametrize(("levels", "factor"), [(1, 127), (4, 31), (8, 15), (127, 1), (200, 1)])
def test_factor_is_the_largest_that_fits(levels: int, factor: int) -> None:
    clean = np.zeros((3, 2, 2), np.uint8)
    adversarial = clean.copy()
    adversarial[1, 0, 1] = levels
    data, found = magnified(clean, adversarial)
    assert found == factor
    assert factor * levels <= 127.5 or factor == 1
    assert (factor + 1) * levels > 127.5
    expected = np.full((3, 2, 2), 128)
    expected[1, 0, 1] = min(round(127.5 + factor * levels), 255)
    assert np.abs(decoded(data) - expected).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_is_the_difference_around_grey(channels: int) -> None:
    rng = np.random.default_rng(0)
    clean = rng.random((channels, 5, 7))
    adversarial = (clean + rng.uniform(-0.03, 0.03, clean.shape)).clip(0, 1)
    data, factor = magnified(clean.astype(np.float32), adversarial.astype(np.float32))
    back = (decoded(data) / 255 - 0.5) / factor
    assert back.shape == clean.shape
    assert np.abs(back - (adversarial - clean)).max() <= 0.51 / 255 / factor + 1e-6
    assert factor == int(0.5 / np.abs(adversarial - clean).max())


def test_bytes_and_floats_are_shown_alike() -> None:
    rng = np.random.default_rng(1)
    clean = rng.integers(20, 230, (3, 4, 4)).astype(np.uint8)
    adversarial = (clean + rng.integers(0, 9, clean.shape)).astype(np.uint8)
    assert magnified(clean, adversarial) == magnified(clean / 255.0, adversarial / 255.0)


def test_no_difference_is_grey() -> None:
    data, factor = magnified(np.ones((3, 2, 2)), np.ones((3, 2, 2)))
    assert factor == 1
    assert np.ptp(decoded(data)) == 0
    assert abs(decoded(data)[0, 0, 0] - 127.5) <= 0.5


def test_a_dark_difference_is_not_wrapped() -> None:
    clean = np.full((1, 2, 2), 250, np.uint8)
    data, factor = magnified(clean, np.full((1, 2, 2), 240, np.uint8))
    assert factor == 12
    assert decoded(data).max() == round(127.5 - 120)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        magnified(np.zeros((3, 2, 2)), np.zeros((1, 2, 2)))


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        magnified(np.zeros((1, 2, 2)), np.full((1, 2, 2), np.nan))
