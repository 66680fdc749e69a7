"""Between tensors as messages and arrays."""

import math

import numpy as np
from numpy.typing import NDArray

from service.rpc.validation import InvalidField
from striate.v1 import types_pb2

MOST_EXTENTS = 8

_DTYPES: dict[int, type[np.generic]] = {
    types_pb2.DATA_TYPE_UINT8: np.uint8,
    types_pb2.DATA_TYPE_FLOAT32: np.float32,
    types_pb2.DATA_TYPE_FLOAT64: np.float64,
}


def from_array(array: NDArray[np.generic]) -> types_pb2.Tensor:
    """Write an array as message, in little-endian order.

    Args:
        array: of any shape and a type that the contract knows.

    Returns:
        The message.
    """
    dtype = next(code for code, kind in _DTYPES.items() if kind == array.dtype)
    data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes()
    return types_pb2.Tensor(dtype=types_pb2.DataType.ValueType(dtype), shape=array.shape, data=data)


def to_array(message: types_pb2.Tensor, field: str) -> NDArray[np.generic]:
    """Read the array of a message.

    Args:
        field: name of the request's field, for errors.

    Returns:
        The array; it shares the message's memory, and is read-only.

    Raises:
        InvalidField: the dtype is unknown, or shape and bytes do not fit together.
    """
    kind = _DTYPES.get(message.dtype)
    if kind is None:
        raise InvalidField(
            f"{field}.dtype", "must be DATA_TYPE_UINT8, DATA_TYPE_FLOAT32 or DATA_TYPE_FLOAT64"
        )
    if len(message.shape) > MOST_EXTENTS:
        raise InvalidField(
            f"{field}.shape", f"has {len(message.shape)} extents, must have at most {MOST_EXTENTS}"
        )
    if 0 in message.shape:
        raise InvalidField(
            f"{field}.shape", f"is {tuple(message.shape)}, every extent must be at least 1"
        )
    expected = math.prod(message.shape) * np.dtype(kind).itemsize
    if len(message.data) != expected:
        shape = tuple(message.shape)
        raise InvalidField(
            f"{field}.data", f"has {len(message.data)} bytes where shape {shape} takes {expected}"
        )
    return np.frombuffer(message.data, np.dtype(kind).newbyteorder("<")).reshape(
        tuple(message.shape)
    )
