"""Single images as encoded files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from striate._formats.arraylike import to_numpy
from striate._formats.pictures import encode_png
from striate.errors import invalid
from striate.images.axes import refuse_channels_first
from striate.results.datasets import Sample

FILE_LIMIT = 16 * 2**20  # bytes of one encoded image


def is_single(images: object) -> bool:
    """Says whether the images argument is one image, or one array, not an iterable of images."""
    whole = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Sample)
    return whole or is_array(images) or is_picture(images)


def is_picture(item: object) -> bool:
    """Says whether something is a PIL image."""
    from PIL.Image import Image

    return isinstance(item, Image)


def is_array(item: object) -> bool:
    """Says whether something is a numpy array, or turns into one, as tensors do."""
    return hasattr(item, "__array__") and not is_picture(item)


def encode(item: object, field: str) -> bytes:
    """Encodes one image as a file.

    Args:
        item: A path, encoded bytes, PIL image, Sample or uint8 array.
        field: Name of the argument in errors.

    Returns:
        The file, at most FILE_LIMIT bytes.

    Raises:
        InvalidArgument: It is no image, or too large.
        OSError: The path cannot be read.
    """
    if isinstance(item, Sample):
        encoded = item.encoded
    elif isinstance(item, str | os.PathLike):
        encoded = Path(item).read_bytes()
    elif isinstance(item, bytes | bytearray | memoryview):
        encoded = bytes(item)
    elif is_picture(item):
        encoded = _encode_picture(item, field)
    elif is_array(item):
        return encode_array(item, field)
    else:
        raise invalid(field, f"must be a path, bytes, PIL image or array, is {type(item).__name__}")
    if not 0 < len(encoded) <= FILE_LIMIT:
        raise invalid(
            field, f"an encoded image must have 1 to {FILE_LIMIT} bytes, has {len(encoded)}"
        )
    return encoded


def _encode_picture(item: Any, field: str) -> bytes:
    if item.mode == "F":
        raise invalid(
            field, "a PIL image of mode F has no stated range: pass a float array in [0, 1]"
        )
    if item.mode == "I" and item.format != "PNG":  # PNG states that they are 16 bits
        raise invalid(
            field,
            "a PIL image of mode I has no stated range: pass convert('I;16') if its levels are 0 "
            "to 65535, numpy.asarray(image).astype(numpy.uint8) if they are 0 to 255, or floats in "
            "[0, 1]",
        )
    try:
        return encode_png(item)
    except (OSError, ValueError, SystemError) as error:  # truncated, closed, empty, of an odd mode
        raise invalid(
            field, f"the PIL image of mode {item.mode} and size {item.size} cannot be read: {error}"
        ) from error


def encode_array(item: object, field: str) -> bytes:
    """Encodes one uint8 image as a PNG file.

    Args:
        item: An array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        field: Name of the argument in errors.

    Returns:
        The file.

    Raises:
        InvalidArgument: It is no such array.
    """
    import numpy as np
    from PIL import Image

    array = to_numpy(item, field)
    if array.dtype != np.uint8:
        raise invalid(field, f"only uint8 arrays mix with other images, is {array.dtype}")
    if array.ndim == 3:
        refuse_channels_first(array, field)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or array.size == 0:
        raise invalid(
            field, f"a uint8 image must be (H, W) or (H, W, C) with C = 1, 3 or 4, is {array.shape}"
        )
    return encode_png(Image.fromarray(array))
