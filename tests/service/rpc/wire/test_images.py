"""Requests are checked at the edge: what is wrong is named, with its field and range, whatever the
bytes.
"""

import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from service.imaging import BadImage, Preprocessing
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, required, within
from service.rpc.wire import attack as wire_attack
from service.rpc.wire import images as wire_images
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import types_pb2

GRAY = Preprocessing(1, 4, 4, 4, "bilinear", (0.5,), (0.5,))
MODEL = cast(HostedModel, SimpleNamespace(network=SimpleNamespace(shape=(1, 4, 4), classes=3)))
UINT8, FLOAT32 = types_pb2.DATA_TYPE_UINT8, types_pb2.DATA_TYPE_FLOAT32


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


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_floats_outside_0_to_1_are_refused(value: float) -> None:
    pixels = np.full((1, 1, 4, 4), 0.5, np.float32)
    pixels[0, 0, 1, 2] = value
    with pytest.raises(InvalidField, match="from 0 to 1"):
        wire_images.decode_batch(types_pb2.ImageBatch(tensor=wire_tensors.from_array(pixels)), GRAY)


def test_a_bad_image_is_named_by_its_place_in_the_whole_request() -> None:
    with pytest.raises(BadImage, match=r"images.encoded\[7\]"):
        wire_images.decode_batch(types_pb2.ImageBatch(encoded=[b"no image"]), GRAY, first=7)


def test_parts_are_the_whole_in_order() -> None:
    batch = types_pb2.ImageBatch(encoded=[bytes([n]) for n in range(7)])
    assert [len(part.encoded) for part in wire_images.split(batch, 3)] == [3, 3, 1]
    assert b"".join(data for part in wire_images.split(batch, 3) for data in part.encoded) == bytes(
        range(7)
    )


@pytest.mark.parametrize("count", [0, 4097])
def test_batches_of_no_or_too_many_images_are_refused(count: int) -> None:
    with pytest.raises(InvalidField, match="images"):
        wire_images.count(types_pb2.ImageBatch(encoded=[b""] * count))


def test_labels_are_classes_one_an_image() -> None:
    for labels in ([0, 3], [0]):
        with pytest.raises(InvalidField):
            wire_attack.classes(labels, "labels", 2, MODEL)


def test_names_are_short() -> None:
    with pytest.raises(InvalidField, match="at most 200"):
        required("model", "x" * 201)


@pytest.mark.parametrize(
    ("value", "words"), [(10**9, "is 1000000000, must be from 1 to 1234567"), (0, "is 0,")]
)
def test_whole_numbers_are_told_whole(value: int, words: str) -> None:
    with pytest.raises(InvalidField, match=words):
        within("labels[0]", value, 1, 1234567)
