"""Images of requests are checked before anything is computed, whatever the bytes."""

import math

import numpy as np
import pytest

from service.imaging import BadImage, Preprocessing
from service.rpc.validation import InvalidField
from service.rpc.wire import images as wire_images
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import types_pb2

GRAY = Preprocessing(1, 4, 4, 4, "bilinear", (0.5,), (0.5,))


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_floats_outside_0_to_1_are_refused(value: float) -> None:
    pixels = np.full((1, 1, 4, 4), 0.5, np.float32)
    pixels[0, 0, 1, 2] = value
    with pytest.raises(InvalidField, match="from 0 to 1"):
        wire_images.decode_batch(types_pb2.ImageBatch(tensor=wire_tensors.from_array(pixels)), GRAY)


def test_a_bad_image_is_named_by_its_place_in_the_whole_request() -> None:
    batch = types_pb2.ImageBatch(encoded=[b"no image"] * 8)
    with pytest.raises(BadImage, match=r"images.encoded\[7\]"):
        wire_images.decode_rows(batch, range(7, 8), GRAY)


@pytest.mark.parametrize("count", [0, 4097])
def test_batches_of_no_or_too_many_images_are_refused(count: int) -> None:
    with pytest.raises(InvalidField, match="images"):
        wire_images.count(types_pb2.ImageBatch(encoded=[b""] * count))
