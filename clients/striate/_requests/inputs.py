"""Images and vectors among the settings of a request, as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.errors import InvalidArgument, invalid
from striate.images import as_batch
from striate.v1 import types_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from striate.images import Images


def image_batch(field: str, images: Images, counts: Sequence[int]) -> types_pb2.ImageBatch:
    """The message of one of `counts` images, each in any form that `striate.images.as_batch` takes.

    Raises InvalidArgument, naming `field`, and OSError for an unreadable path.
    """
    try:
        batch = as_batch(images)
        parts = batch.spans(0)
    except InvalidArgument as error:
        raise invalid(field, "; ".join(error.fields.values())) from None
    if len(batch) not in counts:
        raise invalid(field, f"must be {' or '.join(map(str, counts))} images, are {len(batch)}")
    if len(parts) > 1:
        raise invalid(field, "do not fit one message")
    return batch.part(parts[0])


def vector(field: str, values: ArrayLike) -> types_pb2.Tensor:
    """The message of a vector (n,): float64 stays so, all else becomes float32. Raises
    InvalidArgument, naming `field`.
    """
    import numpy as np

    try:
        array = np.asarray(values)
        array = array.astype(
            "<f8" if array.dtype == np.float64 else "<f4",
            casting="same_kind" if array.dtype.kind == "f" else "unsafe",
        )
    except (TypeError, ValueError):
        raise invalid(field, f"must be a vector of numbers, is {type(values).__name__}") from None
    if array.ndim != 1 or not np.isfinite(array).all() or not array.any():
        raise invalid(
            field, f"must be one finite vector, not all zero; has the shape {array.shape}"
        )
    dtype = (
        types_pb2.DATA_TYPE_FLOAT64 if array.dtype.itemsize == 8 else types_pb2.DATA_TYPE_FLOAT32
    )
    return types_pb2.Tensor(dtype=dtype, shape=array.shape, data=array.tobytes())
