"""The data sets that need no download: scikit-learn ships them."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from service.datasets.base import DatasetError, Source
from service.datasets.classes import DIGITS
from service.imaging import encode_png

SIDE = 32  # of an upscaled digit
PATCH_SIDES = (64, 128, 256)
PATCH_STRIDE = 32


def digits() -> tuple[Tensor, Tensor]:
    """Load scikit-learn's handwritten digits.

    They come as 8 x 8 counts of 0 to 16, are stretched to 0 to 255 and enlarged with Pillow's
    bicubic filter.

    Returns:
        Images (1797, 1, 32, 32) uint8 and labels (1797,) int64, 0 to 9.
    """
    images, labels = _digits()
    return torch.from_numpy(images.copy())[:, None], torch.from_numpy(labels.copy())


def held_out_digits(count: int) -> NDArray[np.bool_]:
    """Tell which digits the embedded network is not trained on: every fifth.

    Args:
        count: how many digits there are.

    Returns:
        Which of them are held out, (count,) bool.
    """
    return np.asarray(np.arange(count) % 5 == 4)


@cache
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # scikit-learn takes a second to import

    bunch = load_digits()
    small = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    large = [
        np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for image in small
    ]
    return np.stack(large), bunch.target.astype(np.int64)


def digits_source(split: str = "all", classes: tuple[str, ...] = DIGITS) -> Source:
    """Open the digits.

    Args:
        split: "all", "train" or "held-out".
        classes: names of the ten classes.

    Returns:
        The digits, or that part of them.

    Raises:
        DatasetError: there is no such split.
    """
    images, labels = _digits()
    held_out = held_out_digits(len(labels))
    parts = {"all": held_out | True, "train": ~held_out, "held-out": held_out}
    if split not in parts:
        raise DatasetError(f"split must be one of {', '.join(parts)}, not {split!r}")
    numbers = np.flatnonzero(parts[split])

    def item(index: int) -> tuple[str, bytes, int | None]:
        number = int(numbers[index])
        return (
            f"digit-{number:04d}",
            encode_png(Image.fromarray(images[number])),
            int(labels[number]),
        )

    return Source(len(numbers), item, classes, len(classes))


def photo_patches_source() -> Source:
    """Open square patches of 64, 128 and 256 px, every 32 px, of the two photographs that
    scikit-learn ships; without labels.
    """
    from sklearn.datasets import load_sample_images

    bunch = load_sample_images()
    photos = {
        Path(name).stem: photo for name, photo in zip(bunch.filenames, bunch.images, strict=True)
    }
    patches = [
        (name, side, top, left)
        for name, photo in photos.items()
        for side in PATCH_SIDES
        for top in range(0, photo.shape[0] - side + 1, PATCH_STRIDE)
        for left in range(0, photo.shape[1] - side + 1, PATCH_STRIDE)
    ]

    def item(index: int) -> tuple[str, bytes, int | None]:
        name, side, top, left = patches[index]
        patch = photos[name][top : top + side, left : left + side]
        return (
            f"{name}/{side}px-row{top}-column{left}",
            encode_png(Image.fromarray(np.ascontiguousarray(patch))),
            None,
        )

    return Source(len(patches), item)
