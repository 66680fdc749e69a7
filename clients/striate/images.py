"""What callers pass as images, as what travels: ImageBatch messages that fit the message limit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate._formats.pictures import encode_png
from striate._rpc.channel import MESSAGE_LIMIT
from striate.errors import InvalidArgument, invalid
from striate.results.datasets import Sample
from striate.v1 import types_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    One = str | os.PathLike[str] | bytes | Sample | Image | NDArray[Any]
    Images = One | Iterable[One]

FILE_LIMIT = 16 * 2**20  # bytes of one encoded image
ROW_LIMIT = 4096  # images of one request
ALIGNMENT = 8  # parts begin at multiples of it, as the service's padded chunks do
_BUDGET = MESSAGE_LIMIT - 4 * 2**20  # leaves room for everything beside the pixels


@dataclass(frozen=True, eq=False)
class Batch:
    """Images ready to be sent: encoded files, or one array (N, H, W, C) uint8 or (N, C, H, W)
    float32.
    """

    encoded: tuple[bytes, ...] = ()
    array: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.encoded) if self.array is None else len(self.array)

    def part(self, rows: range) -> pb.ImageBatch:
        """The message for some consecutive rows."""
        if self.array is None:
            return pb.ImageBatch(encoded=self.encoded[rows.start : rows.stop])
        dtype = pb.DATA_TYPE_UINT8 if self.array.dtype.kind == "u" else pb.DATA_TYPE_FLOAT32
        part = self.array[rows.start : rows.stop]
        return pb.ImageBatch(tensor=pb.Tensor(dtype=dtype, shape=part.shape, data=part.tobytes()))

    def spans(self, reply_row: int, whole_groups: bool = False) -> list[range]:
        """Consecutive rows that fit one message each, as request and, at `reply_row` bytes a row,
        as reply.

        Parts begin at multiples of 8 rows, unless 8 rows are too large for one message: then they
        are smaller, or refused with InvalidArgument if `whole_groups` asks that padded chunks stay
        together.
        """
        sizes = [max(size, reply_row) for size in self._sizes()]
        if max(sizes) > _BUDGET:
            raise invalid(
                f"images[{sizes.index(max(sizes))}]",
                f"{max(sizes)} bytes do not fit one message of {_BUDGET} bytes",
            )
        fits = all(
            sum(sizes[first : first + ALIGNMENT]) <= _BUDGET
            for first in range(0, len(sizes), ALIGNMENT)
        )
        if whole_groups and not fits:
            raise invalid(
                "images",
                f"{ALIGNMENT} of them do not fit one message of {_BUDGET} bytes, which "
                f"deterministic asks for",
            )
        return _spans(sizes, ALIGNMENT if fits else 1)

    def _sizes(self) -> list[int]:
        """Bytes of every row on the wire."""
        if self.array is None:
            return [len(encoded) + 8 for encoded in self.encoded]
        return [self.array.nbytes // len(self.array)] * len(self.array)


def _spans(sizes: Sequence[int], unit: int) -> list[range]:
    """Cuts greedily, at multiples of `unit` rows, before a part would pass the budget or the row
    limit.
    """
    spans, start, weight = [], 0, 0
    for first in range(0, len(sizes), unit):
        group = sum(sizes[first : first + unit])
        if first > start and (weight + group > _BUDGET or first + unit - start > ROW_LIMIT):
            spans.append(range(start, first))
            start, weight = first, 0
        weight += group
    return [*spans, range(start, len(sizes))]


def as_batch(images: Images) -> Batch:
    """Turns the images argument into a Batch.

    images: a path, encoded bytes (PNG, JPEG, WebP), PIL image, Sample or an iterable of these; a
    uint8 array (N, H, W, C), (H, W, C), (N, H, W) or (H, W) with C = 1, 3 or 4, where three axes of
    which the last is 1, 3 or 4 are (H, W, C); a float array (N, C, H, W) or (C, H, W) in [0, 1]; or
    a list of arrays. Raises InvalidArgument naming the image, and OSError for an unreadable path.
    """
    if _is_array(images):
        return _from_array(images)
    if is_single(images):
        return Batch(encoded=(_encode(images, "images"),))
    if not isinstance(images, Iterable):
        raise invalid(
            "images", f"must be paths, bytes, PIL images or arrays, is {type(images).__name__}"
        )
    items = list(images)
    if not items:
        raise invalid("images", "must hold at least one image")
    if all(_is_array(item) for item in items):
        return _from_arrays(items)
    return Batch(encoded=tuple(_encode(item, f"images[{row}]") for row, item in enumerate(items)))


def is_single(images: object) -> bool:
    """Is the images argument one image, or one array, rather than an iterable of images?"""
    whole = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Sample)
    return whole or _is_array(images) or _is_picture(images)


def _is_picture(item: object) -> bool:
    from PIL.Image import Image

    return isinstance(item, Image)


def _is_array(item: object) -> bool:
    """Is it a numpy array, or something that turns into one, such as a tensor?"""
    return hasattr(item, "__array__") and not _is_picture(item)


def _encode(item: object, field: str) -> bytes:
    """One image as an encoded file."""
    if isinstance(item, Sample):
        encoded = item.encoded
    elif isinstance(item, str | os.PathLike):
        encoded = Path(item).read_bytes()
    elif isinstance(item, bytes | bytearray | memoryview):
        encoded = bytes(item)
    elif _is_picture(item):
        encoded = _encode_picture(item, field)
    elif _is_array(item):
        return _encode_array(item, field)
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
    return encode_png(item)


def _encode_array(item: object, field: str) -> bytes:
    """One uint8 image (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) as a PNG file."""
    import numpy as np
    from PIL import Image

    array = np.asarray(item)
    if array.dtype != np.uint8:
        raise invalid(field, f"only uint8 arrays mix with other images, is {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or array.size == 0:
        raise invalid(
            field, f"a uint8 image must be (H, W) or (H, W, C) with C = 1, 3 or 4, is {array.shape}"
        )
    return encode_png(Image.fromarray(array))


def _from_arrays(items: Sequence[object]) -> Batch:
    """A list of arrays, one image each: floats and uint8 of one shape are stacked, uint8 of
    different shapes become PNG files.
    """
    import numpy as np

    arrays = [np.asarray(item) for item in items]
    if any(array.ndim not in (2, 3) for array in arrays):
        raise invalid(
            "images",
            "each array of a list must be one image: (H, W), (H, W, C) or, as floats, (C, H, W)",
        )
    if len({(array.shape, array.dtype) for array in arrays}) == 1:
        stacked = np.stack(arrays)
        if stacked.ndim == 3:  # gray: the axis that is missing is the channels'
            stacked = stacked[..., None] if stacked.dtype == np.uint8 else stacked[:, None]
        return _from_array(stacked)
    if any(array.dtype != np.uint8 for array in arrays):
        raise invalid(
            "images", "float arrays in a list must all have the same shape (C, H, W) and dtype"
        )
    return Batch(
        encoded=tuple(_encode_array(array, f"images[{row}]") for row, array in enumerate(arrays))
    )


def _from_array(images: object) -> Batch:
    import numpy as np

    array = np.asarray(images)
    if array.size == 0:
        raise invalid("images", f"must hold at least one pixel, is {array.shape}")
    if array.dtype == np.uint8:
        return _from_levels(array)
    if array.dtype.kind == "f":
        return Batch(array=_checked_floats(array))
    raise invalid(
        "images",
        f"an array must be uint8 (N, H, W, C) or float (N, C, H, W) in [0, 1], is {array.dtype}",
    )


def _from_levels(array: NDArray[np.uint8]) -> Batch:
    """uint8 of any allowed number of axes -> (N, H, W, C)."""
    import numpy as np

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
            encoded=tuple(_encode_array(image, f"images[{row}]") for row, image in enumerate(array))
        )
    return Batch(array=np.ascontiguousarray(array))


def _checked_floats(array: NDArray[Any]) -> NDArray[np.float32]:
    """Floats (C, H, W) or (N, C, H, W) in [0, 1] -> (N, C, H, W) little-endian float32."""
    import numpy as np

    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise invalid(
            "images", f"a float array must be (N, C, H, W) with C = 1 or 3, is {array.shape}"
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
