"""Between messages and values: the one place where requests are checked, so that everything behind
it can trust them.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from google.protobuf.descriptor import EnumDescriptor
from numpy.typing import NDArray
from torch import Tensor

from interp.layer import LOGITS, LayerPath
from interp.network.describe import LayerInfo
from service.engine.job import Priority
from service.imaging import BadImage, Preprocessing, decode
from service.models.zoo import HostedModel
from service.rpc.errors import InvalidField
from service.rpc.interceptor import VERSION, request_id
from striate.v1 import model_pb2, types_pb2

T = TypeVar("T", int, float)

MOST_IMAGES = 4096
MOST_NAME = 200  # characters of a name
# images' worth of memory that an ascent keeps a row: z, its momenta, the best, views and gradients
STATE_COPIES = 12
MOST_BYTES = 60 * 2**20  # of pixels in one message of at most 64 MiB

_DTYPES: dict[int, type[np.generic]] = {
    types_pb2.DATA_TYPE_UINT8: np.uint8,
    types_pb2.DATA_TYPE_FLOAT32: np.float32,
    types_pb2.DATA_TYPE_FLOAT64: np.float64,
}


def within(field: str, value: T, low: T, high: T, default: T | None = None) -> T:
    """The value, or the default where it is zero; InvalidField if it is outside low to high (or not
    a number).
    """
    if default is not None and value == 0:
        return default
    if not low <= value <= high:
        raise InvalidField(field, f"is {_told(value)}, must be from {_told(low)} to {_told(high)}")
    return value


def _told(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def required(field: str, value: str) -> str:
    """The name, which may not be empty."""
    if not value:
        raise InvalidField(field, "is required")
    return short(field, value)


def short(field: str, value: str) -> str:
    """The name, which may not be long: unknown names are compared with all known ones."""
    if len(value) > MOST_NAME:
        raise InvalidField(field, f"has {len(value)} characters, must have at most {MOST_NAME}")
    return value


def image_bytes(count: int, model: HostedModel, copies: int = 1) -> int:
    """Memory of so many images of the model's input size, in float32."""
    return 4 * count * copies * math.prod(model.network.shape)


def known(field: str, value: int, kind: EnumDescriptor) -> None:
    """InvalidField for a number that the enumeration does not have."""
    if value not in kind.values_by_number:
        raise InvalidField(
            field, f"is {value}, must be one of {', '.join(one.name for one in kind.values[1:])}"
        )


def priority(value: int) -> Priority:
    """The priority of a request; interactive by default."""
    known("priority", value, types_pb2.Priority.DESCRIPTOR)
    return Priority.BATCH if value == types_pb2.PRIORITY_BATCH else Priority.INTERACTIVE


def provenance(model: HostedModel) -> types_pb2.Provenance:
    """Where a result of `model` came from."""
    return types_pb2.Provenance(
        model=model.name,
        model_digest=model.digest,
        service_version=VERSION,
        request_id=request_id.get(),
    )


def tensor(array: NDArray[np.generic]) -> types_pb2.Tensor:
    """An array as message."""
    dtype = next(code for code, kind in _DTYPES.items() if kind == array.dtype)
    data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes()
    return types_pb2.Tensor(dtype=types_pb2.DataType.ValueType(dtype), shape=array.shape, data=data)


def array(message: types_pb2.Tensor, field: str) -> NDArray[np.generic]:
    """The array of a message; InvalidField if its parts do not fit together."""
    kind = _DTYPES.get(message.dtype)
    if kind is None:
        raise InvalidField(
            f"{field}.dtype", "must be DATA_TYPE_UINT8, DATA_TYPE_FLOAT32 or DATA_TYPE_FLOAT64"
        )
    if len(message.shape) > 8:
        raise InvalidField(
            f"{field}.shape", f"has {len(message.shape)} extents, must have at most 8"
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


def count(batch: types_pb2.ImageBatch) -> int:
    """How many images a batch says it has. Raises InvalidField if there are none or too many."""
    if bool(batch.encoded) == batch.HasField("tensor"):
        raise InvalidField("images", "must have either encoded images or a tensor")
    number = len(batch.encoded) or next(iter(batch.tensor.shape), 0)
    if not 1 <= number <= MOST_IMAGES:
        raise InvalidField("images", f"there are {number}, must be from 1 to {MOST_IMAGES}")
    return number


def parts(batch: types_pb2.ImageBatch, size: int) -> Iterator[types_pb2.ImageBatch]:
    """The batch in parts of at most `size` images, so that only a part at a time need be
    decoded.
    """
    if not batch.encoded:
        yield batch  # decoded already
        return
    for first in range(0, len(batch.encoded), size):
        yield types_pb2.ImageBatch(encoded=batch.encoded[first : first + size])


def images(batch: types_pb2.ImageBatch, preprocessing: Preprocessing, first: int = 0) -> Tensor:
    """The batch as the network takes it, (N, C, H, W) float32 in [0, 1]. Decodes: not for the event
    loop.

    Args:
        first: number of the first image in the whole request, for error messages.

    Raises:
        InvalidField: the batch is empty, too large, or a tensor of the wrong kind, shape or range.
        BadImage: an encoded image cannot be decoded; the message names it.
    """
    count(batch)
    if batch.encoded:
        levels = np.stack(
            [
                _decoded(number, data, preprocessing)
                for number, data in enumerate(batch.encoded, start=first)
            ]
        )
        return torch.from_numpy(levels).float() / 255
    pixels = array(batch.tensor, "images.tensor")
    if pixels.ndim != 4:
        raise InvalidField(
            "images.tensor.shape",
            "must have four extents: (N, H, W, C) uint8 or (N, C, H, W) float32",
        )
    if pixels.dtype == np.uint8:
        return torch.from_numpy(preprocessing.from_array(pixels)).float() / 255
    return _from_float(pixels, preprocessing)


def _decoded(number: int, data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    try:
        return preprocessing.apply(decode(data))
    except BadImage as error:
        raise InvalidImage(f"images.encoded[{number}]", str(error)) from error


class InvalidImage(BadImage):
    """An image of a request that cannot be used; `field` says which."""

    def __init__(self, field: str, description: str) -> None:
        self.field, self.description = field, description
        super().__init__(f"{field}: {description}")


def _from_float(pixels: NDArray[np.generic], preprocessing: Preprocessing) -> Tensor:
    if pixels.dtype != np.float32:
        raise InvalidField("images.tensor.dtype", "must be DATA_TYPE_UINT8 or DATA_TYPE_FLOAT32")
    shape = (preprocessing.channels, preprocessing.height, preprocessing.width)
    if pixels.shape[1:] != shape:
        raise InvalidField(
            "images.tensor.shape", f"is {pixels.shape}, must be (N, {', '.join(map(str, shape))})"
        )
    values = torch.from_numpy(
        pixels.astype(np.float32)
    )  # a copy: the message's own memory is read-only
    low, high = values.aminmax()
    if not (low >= 0 and high <= 1):
        raise InvalidField(
            "images.tensor.data", f"holds values from {low:g} to {high:g}, must be from 0 to 1"
        )
    return values


def path(text: str, field: str, model: HostedModel) -> LayerPath:
    """A layer or unit of the model; its name is checked here, its numbers by `check_path`.

    Raises:
        InvalidField: the syntax is wrong.
        UnknownLayer: there is no such layer.
    """
    name = required(field, text)
    try:
        return LayerPath.parse(name, model.network.layers)
    except ValueError as error:
        raise InvalidField(field, str(error)) from error


def check_path(path: LayerPath, field: str, shape: Sequence[int]) -> LayerPath:
    """The path with its position in numbers, if `shape` (units, rows, columns) or (units,) has that
    unit and position; else InvalidField.
    """
    if path.unit is not None:
        within(f"{field} (unit of {path.layer})", path.unit, 0, shape[0] - 1)
    if (path.central or path.position is not None) and len(shape) != 3:
        raise InvalidField(field, f"layer {path.layer} has no rows and columns")
    path = path.resolved(shape)
    if path.position is not None:
        within(f"{field} (row)", path.position[0], 0, shape[1] - 1)
        within(f"{field} (column)", path.position[1], 0, shape[2] - 1)
    if path.unit is None and path.layer == LOGITS:
        raise InvalidField(field, "names no class: write logits:CLASS")
    return path


def model_info(model: HostedModel) -> model_pb2.ModelInfo:
    """A loaded model as message."""
    seen = model.preprocessing
    return model_pb2.ModelInfo(
        name=model.name,
        state=model_pb2.MODEL_STATE_SERVING,
        architecture=model.architecture,
        weights=model.weights,
        digest=model.digest,
        input_height=seen.height,
        input_width=seen.width,
        input_channels=seen.channels,
        mean=seen.mean,
        std=seen.std,
        resize=seen.resize,
        interpolation=seen.interpolation,
        classes=model.classes,
        parameters=model.parameters,
        memory_bytes=model.memory_bytes,
    )


def layer(info: LayerInfo) -> model_pb2.Layer:
    """A layer's description as message."""
    message = model_pb2.Layer(
        name=info.name,
        type=info.type,
        kernel=info.kernel or (),
        stride=info.stride or (),
        padding=info.padding or (),
        dilation=info.dilation or (),
        output_shape=info.output_shape,
        parameters=info.parameters,
        multiply_adds=info.multiply_adds,
    )
    field = info.receptive_field
    if field is not None:
        message.receptive_field.CopyFrom(
            model_pb2.ReceptiveField(
                height=field.height,
                width=field.width,
                jump_y=field.jump_y,
                jump_x=field.jump_x,
                offset_y=field.offset_y,
                offset_x=field.offset_x,
                is_global=field.is_global,
            )
        )
    return message
