"""Tensors as messages and arrays."""

import numpy as np
import pytest

from service.rpc.validation import InvalidField
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import types_pb2

UINT8 = types_pb2.DATA_TYPE_UINT8


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        (types_pb2.Tensor(shape=[1], data=b"1"), "x.dtype"),
        (types_pb2.Tensor(dtype=UINT8, shape=[2], data=b"1"), "x.data"),
        (types_pb2.Tensor(dtype=UINT8, shape=[1] * 65, data=b"1"), "x.shape"),
        (types_pb2.Tensor(dtype=UINT8, shape=[1, 4294967295, 4294967295, 0]), "x.shape"),
    ],
)
def test_tensors_whose_parts_do_not_fit_are_refused(tensor: types_pb2.Tensor, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        wire_tensors.to_array(tensor, "x")
    assert refused.value.field == field


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_tensors_survive_the_wire(dtype: type[np.generic]) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    again = wire_tensors.to_array(wire_tensors.from_array(array), "x")
    assert again.dtype == dtype
    assert np.array_equal(again, array)
