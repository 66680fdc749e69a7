"""Between images as messages and the tensors that networks take."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.datasets.samples import LeftOut
from service.imaging import BadImage, Preprocessing, decode
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import types_pb2

MOST_IMAGES = 4096  # of one request
# images' worth of memory that an ascent keeps a row: z, its momenta, the best, views and gradients
STATE_COPIES = 12
MOST_BYTES = 60 * 2**20  # of pixels in one message of at most 64 MiB


class InvalidImage(BadImage):
    """An image of a request cannot be used.

    Attributes:
        field: the image's field in the request, e.g. "images.encoded[3]".
        description: why not.
    """

    def __init__(self, field: str, description: str) -> None:
        self.field, self.description = field, description
        super().__init__(f"{field}: {description}")


def image_bytes(count: int, model: HostedModel, copies: int = 1) -> int:
    """Compute the memory of images of the model's input size, in float32.

    Args:
        count: images.
        copies: how many tensors of that size each image takes.
    """
    return 4 * count * copies * math.prod(model.network.shape)


def count(batch: types_pb2.ImageBatch, field: str = "images") -> int:
    """Count the images of a batch, without decoding any.

    Args:
        field: the request's field, for errors.

    Raises:
        InvalidField: there are none or too many, or both encoded images and a tensor.
    """
    if bool(batch.encoded) == batch.HasField("tensor"):
        raise InvalidField(field, "must have either encoded images or a tensor")
    number = len(batch.encoded) or next(iter(batch.tensor.shape), 0)
    if not 1 <= number <= MOST_IMAGES:
        raise InvalidField(field, f"there are {number}, must be from 1 to {MOST_IMAGES}")
    return number


def left_out(summary: Mapping[str, Any]) -> types_pb2.LeftOut:
    """Write which images of a data set were left out.

    Args:
        summary: see `service.datasets.samples.summary`.
    """
    images = [types_pb2.LeftOutImage(**image) for image in summary["images"]]
    return types_pb2.LeftOut(count=summary["count"], images=images)


def left_out_image(one: LeftOut) -> types_pb2.LeftOutImage:
    """Write that an image was left out.

    Args:
        one: the image.
    """
    return types_pb2.LeftOutImage(**asdict(one))


def decode_batch(
    batch: types_pb2.ImageBatch, preprocessing: Preprocessing, field: str = "images"
) -> Tensor:
    """Read images as the network takes them. Decodes: not for the event loop.

    Args:
        batch: encoded images, or a tensor (N, H, W, C) uint8 or (N, C, H, W) float32.
        preprocessing: how the model takes images.
        field: the request's field, for errors.

    Returns:
        (N, C, H, W) float32 in [0, 1].

    Raises:
        InvalidField: the batch is empty, too large, or a tensor of the wrong kind, shape or range.
        BadImage: an encoded image cannot be decoded; the message names it.
    """
    return decode_rows(batch, range(count(batch, field)), preprocessing, field)


def decode_rows(
    batch: types_pb2.ImageBatch, rows: range, preprocessing: Preprocessing, field: str = "images"
) -> Tensor:
    """Read some images of a batch, as `decode_batch` reads all of them.

    Args:
        batch: of the request, of as many images as `count` allows.
        rows: their numbers in the batch.
        preprocessing: how the model takes images.
        field: the request's field, for errors.

    Returns:
        (rows, C, H, W) float32 in [0, 1].

    Raises:
        InvalidField, BadImage: as `decode_batch` does.
        Abandoned: the call has ended meanwhile.
    """
    if batch.encoded:
        levels = [
            _decoded(f"{field}.encoded[{number}]", batch.encoded[number], preprocessing)
            for number in rows
        ]
        return torch.from_numpy(np.stack(levels)).float() / 255
    pixels = wire_tensors.to_array(batch.tensor, f"{field}.tensor")
    if pixels.ndim != 4:
        raise InvalidField(
            f"{field}.tensor.shape",
            "must have four extents: (N, H, W, C) uint8 or (N, C, H, W) float32",
        )
    chosen = pixels[rows.start : rows.stop]
    if pixels.dtype == np.uint8:
        return torch.from_numpy(preprocessing.from_array(chosen)).float() / 255
    return _from_float(chosen, preprocessing, f"{field}.tensor")


def _decoded(field: str, data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    try:
        return preprocessing.apply(decode(data))
    except BadImage as error:
        raise InvalidImage(field, str(error)) from error


def _from_float(pixels: NDArray[np.generic], preprocessing: Preprocessing, field: str) -> Tensor:
    if pixels.dtype != np.float32:
        raise InvalidField(f"{field}.dtype", "must be DATA_TYPE_UINT8 or DATA_TYPE_FLOAT32")
    shape = (preprocessing.channels, preprocessing.height, preprocessing.width)
    if pixels.shape[1:] != shape:
        last = (*shape[1:], shape[0])
        way = "; transpose(0, 3, 1, 2) brings the channels to the front"
        raise InvalidField(
            f"{field}.shape",
            f"is {pixels.shape}, must be (N, {', '.join(map(str, shape))})"
            f"{way if pixels.shape[1:] == last else ''}",
        )
    # A copy: the message's own memory is read-only.
    values = torch.from_numpy(pixels.astype(np.float32))
    low, high = values.aminmax()
    if not (low >= 0 and high <= 1):
        raise InvalidField(
            f"{field}.data", f"holds values from {low:g} to {high:g}, must be from 0 to 1"
        )
    return values
