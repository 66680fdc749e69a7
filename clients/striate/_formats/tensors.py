"""Tensors of the contract as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.errors import Internal
from striate.v1 import types_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DTYPES = {
    types_pb2.DATA_TYPE_UINT8: "|u1",
    types_pb2.DATA_TYPE_FLOAT32: "<f4",
    types_pb2.DATA_TYPE_FLOAT64: "<f8",
}


def read_float32(tensor: types_pb2.Tensor) -> NDArray[np.float32]:
    """Reads a Tensor message into a writable float32 array.

    Args:
        tensor: The message: data type, shape and little-endian bytes.

    Returns:
        The array, of the message's shape.

    Raises:
        Internal: The bytes do not match the shape, or the data type is unknown.
    """
    import numpy as np

    try:
        return (
            np.frombuffer(tensor.data, dtype=_DTYPES[tensor.dtype])
            .reshape(tuple(tensor.shape))
            .astype(np.float32)
        )
    except (KeyError, ValueError) as error:
        raise Internal(
            f"the server sent a tensor that does not fit its description: {error}"
        ) from None
