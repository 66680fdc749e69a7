"""Arrays of images, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from striate._formats.arraylike import to_numpy
from striate.errors import InvalidArgument, invalid
from striate.images.axes import refuse_channels_first
from striate.images.batch import Batch
from striate.images.encode import encode_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def from_arrays(items: Sequence[object]) -> Batch:
    """Makes a batch of a list of arrays, one image each.

    Args:
        items: Floats of one shape, or uint8; uint8 of different shapes become PNG files.

    Returns:
        The batch.

    Raises:
        InvalidArgument: An array is no image, or they do not go together.
    """
    import numpy as np

    arrays = [to_numpy(item, f"images[{row}]") for row, item in enumerate(items)]
    for row, array in enumerate(arrays):
        if array.dtype == np.uint8 and array.ndim == 3:
            refuse_channels_first(array, f"images[{row}]")
    if any(array.ndim not in (2, 3) for array in arrays):
        raise invalid(
            "images",
            "each array of a list must be one image: (H, W), (H, W, C) or, as floats, (C, H, W)",
        )
    if len({(array.shape, array.dtype) for array in arrays}) == 1:
        stacked = np.stack(arrays)
        if stacked.ndim == 3:  # gray: the axis that is missing is the channels'
            stacked = stacked[..., None] if stacked.dtype == np.uint8 else stacked[:, None]
        return from_array(stacked)
    if any(array.dtype != np.uint8 for array in arrays):
        raise invalid(
            "images", "float arrays in a list must all have the same shape (C, H, W) and dtype"
        )
    return Batch(
        encoded=tuple(encode_array(array, f"images[{row}]") for row, array in enumerate(arrays))
    )


def from_array(images: object) -> Batch:
    """Makes a batch of one array.

    Args:
        images: uint8 (N, H, W, C), (H, W, C), (N, H, W) or (H, W), or floats (N, C, H, W) or
            (C, H, W) in [0, 1].

    Returns:
        The batch.

    Raises:
        InvalidArgument: The array is none of these.
    """
    import numpy as np

    array = to_numpy(images, "images")
    if array.size == 0:
        raise invalid("images", f"must hold at least one pixel, is {array.shape}")
    if array.dtype == np.uint8:
        return _from_levels(array)
    if array.dtype.kind == "f":
        return Batch(array=_checked_floats(array))
    raise _wrong_type(array)


def _wrong_type(array: NDArray[Any]) -> InvalidArgument:
    ways = {
        "b": "; of a mask, write array.astype(numpy.uint8) * 255",
        "i": "; levels of 0 to 255 become uint8 by array.astype(numpy.uint8)",
        "u": "; divide 16-bit levels by 65535 for floats in [0, 1]",
    }
    return invalid(
        "images",
        f"an array must be uint8 (N, H, W, C) or float (N, C, H, W) in [0, 1], is {array.dtype} "
        f"{array.shape}{ways.get(array.dtype.kind, '')}",
    )


def _from_levels(array: NDArray[np.uint8]) -> Batch:
    """uint8 of any allowed number of axes -> (N, H, W, C)."""
    import numpy as np

    if array.ndim in (3, 4):
        refuse_channels_first(array, "images")
    if array.ndim == 2:
        array = array[None, :, :, None]  # one gray image
    elif array.ndim == 3:
        array = array[None] if array.shape[2] in (1, 3, 4) else array[:, :, :, None]
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4):
        raise invalid(
            "images", f"a uint8 array must be (N, H, W, C) with C = 1, 3 or 4, is {array.shape}"
        )
    if array.shape[3] == 4:  # the contract states what becomes of alpha for encoded images
        return Batch(
            encoded=tuple(encode_array(image, f"images[{row}]") for row, image in enumerate(array))
        )
    return Batch(array=np.ascontiguousarray(array))


def _checked_floats(array: NDArray[Any]) -> NDArray[np.float32]:
    """Floats (C, H, W) or (N, C, H, W) in [0, 1] -> (N, C, H, W) little-endian float32."""
    import numpy as np

    shape = array.shape
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        way = "; transpose(0, 3, 1, 2) brings the channels to the front"
        raise invalid(
            "images",
            f"a float array must be (N, C, H, W) or (C, H, W) with C = 1 or 3, is {shape}"
            + (way if array.ndim == 4 and array.shape[3] in (1, 3) else ""),
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise _out_of_range(low, high)
    return np.ascontiguousarray(array, dtype="<f4")


def _out_of_range(low: float, high: float) -> InvalidArgument:
    hint = "; divide by 255, or pass uint8 (N, H, W, C)" if 1 < high <= 255 and low >= 0 else ""
    return invalid(
        "images", f"a float array must be within [0, 1], spans {low:g} to {high:g}{hint}"
    )
