"""What callers pass as images, as batches that travel."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from striate.errors import InvalidArgument, invalid
from striate.images.arrays import from_array, from_arrays
from striate.images.batch import ALIGNMENT, ROW_LIMIT, Batch
from striate.images.encode import FILE_LIMIT, encode, is_array, is_single
from striate.images.names import name_of, names_of, naming
from striate.results.datasets import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    One = str | os.PathLike[str] | bytes | Sample | Image | NDArray[Any]
    Images = One | Iterable[One]

__all__ = [
    "ALIGNMENT",
    "FILE_LIMIT",
    "ROW_LIMIT",
    "Batch",
    "as_batch",
    "as_batch_of",
    "is_single",
    "names_of",
    "naming",
]


def as_batch(images: Images) -> Batch:
    """Turns the images argument into a batch.

    Args:
        images: A path, encoded bytes (PNG, JPEG, WebP, GIF, TIFF, BMP or AVIF), PIL image,
            Sample or an iterable of these;
            a uint8 array (N, H, W, C), (H, W, C), (N, H, W) or (H, W) with C = 1, 3 or 4, where
            three axes of which the last is 1, 3 or 4 are (H, W, C); a float array (N, C, H, W) or
            (C, H, W) in [0, 1]; or a list of arrays. Tensors count as arrays. uint8 (C, H, W), as
            torchvision.io.read_image gives it, is refused: permute(1, 2, 0) makes it (H, W, C).

    Returns:
        The batch.

    Raises:
        InvalidArgument: Something is no image; the error names it.
        OSError: A path cannot be read.
    """
    if is_array(images):
        return from_array(images)
    if is_single(images):
        with naming([name_of(images)]):
            return Batch((encode(images, "images"),), names=(name_of(images),))
    if not isinstance(images, Iterable):
        raise invalid(
            "images", f"must be paths, bytes, PIL images or arrays, is {type(images).__name__}"
        )
    items = list(images)
    if not items:
        raise invalid("images", "must hold at least one image")
    if all(is_array(item) for item in items):
        return from_arrays(items)
    names = tuple(map(name_of, items))
    with naming(names):
        encoded = tuple(encode(item, f"images[{row}]") for row, item in enumerate(items))
    return Batch(encoded, names=names)


def as_batch_of(counts: Sequence[int], images: Images, field: str) -> Batch:
    """Turns images among the settings of a request into a batch that fits one message.

    Args:
        counts: How many images there may be.
        images: The images, as `as_batch` takes them.
        field: Name of the argument in errors.

    Returns:
        The batch.

    Raises:
        InvalidArgument: Something is no image, or they are too many or too large.
        OSError: A path cannot be read.
    """
    try:
        batch = as_batch(images)
        spans = batch.spans(0)
    except InvalidArgument as error:
        raise invalid(field, re.sub(r"^images(\[\d+\])?: ", "", str(error))) from None
    if len(batch) not in counts:
        raise invalid(field, f"must be {' or '.join(map(str, counts))} images, are {len(batch)}")
    if len(spans) > 1:
        raise invalid(field, "do not fit one message")
    return batch
