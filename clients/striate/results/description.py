"""What the service says about itself: models, layers, data sets, and where a result came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from striate import _pictures as pictures
from striate.v1 import interpret_pb2, model_pb2, types_pb2

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Provenance:
    """Where a result came from. model_digest: SHA-256 of weights and preprocessing; request_id: as
    in the server's log.
    """

    model: str
    model_digest: str
    service_version: str
    request_id: str

    @staticmethod
    def read(message: types_pb2.Provenance) -> Provenance:
        return Provenance(
            message.model, message.model_digest, message.service_version, message.request_id
        )


@dataclass(frozen=True)
class ModelInfo:
    """A hosted network. state: "available" (known by name), "loading" or "serving"; input_size:
    (height, width) in pixels; channels: 1 or 3; mean, std: per channel, in pixel units of [0, 1];
    resize: pixels of the short side before the centre crop; classes: names in the order of the
    logits; memory_bytes: of parameters and buffers. Much is empty while "available".
    """

    name: str
    state: str
    architecture: str
    weights: str
    digest: str
    input_size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int
    interpolation: str
    classes: tuple[str, ...] = field(repr=False)
    parameters: int
    memory_bytes: int

    @staticmethod
    def read(message: model_pb2.ModelInfo) -> ModelInfo:
        return ModelInfo(
            name=message.name,
            state=model_pb2.ModelState.Name(message.state).removeprefix("MODEL_STATE_").lower(),
            architecture=message.architecture,
            weights=message.weights,
            digest=message.digest,
            input_size=(message.input_height, message.input_width),
            channels=message.input_channels,
            mean=tuple(message.mean),
            std=tuple(message.std),
            resize=message.resize,
            interpolation=message.interpolation,
            classes=tuple(message.classes),
            parameters=message.parameters,
            memory_bytes=message.memory_bytes,
        )


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels of a unit: position (i, j) covers rows offset[0] + i * jump[0] to that +
    size[0] - 1, likewise columns.

    size, jump, offset: (rows, columns) in pixels, offset negative inside the padding; is_global: it
    depends on the whole image.
    """

    size: tuple[int, int]
    jump: tuple[int, int]
    offset: tuple[int, int]
    is_global: bool


@dataclass(frozen=True)
class Layer:
    """One module of a network. output_shape: (channels, rows, columns) or (features,); kernel,
    stride, padding, dilation: (rows, columns) or empty; parameters, multiply_adds: of this module
    and all inside it, the latter for one image.
    """

    name: str
    type: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: ReceptiveField | None

    @staticmethod
    def read(message: model_pb2.Layer) -> Layer:
        rf = message.receptive_field
        return Layer(
            name=message.name,
            type=message.type,
            kernel=tuple(message.kernel),
            stride=tuple(message.stride),
            padding=tuple(message.padding),
            dilation=tuple(message.dilation),
            output_shape=tuple(message.output_shape),
            parameters=message.parameters,
            multiply_adds=message.multiply_adds,
            receptive_field=ReceptiveField(
                (rf.height, rf.width),
                (rf.jump_y, rf.jump_x),
                (rf.offset_y, rf.offset_x),
                rf.is_global,
            )
            if message.HasField("receptive_field")
            else None,
        )


@dataclass(frozen=True)
class DatasetInfo:
    """A data set of the server. size: images; classes: names by label; class_indices: per label the
    index of the model's class of that name, or -1, if a model was named; indexed_layers: layers
    with an exemplar index of that model; error: why nothing of this is known (it cannot be read, or
    would first have to be downloaded), else empty.
    """

    name: str
    uri: str
    size: int
    classes: tuple[str, ...] = field(repr=False)
    labelled: bool
    class_indices: tuple[int, ...] = field(repr=False)
    indexed_layers: tuple[str, ...]
    error: str = ""

    @staticmethod
    def read(message: interpret_pb2.Dataset) -> DatasetInfo:
        return DatasetInfo(
            name=message.name,
            uri=message.uri,
            size=message.size,
            classes=tuple(message.classes),
            labelled=message.labelled,
            class_indices=tuple(message.class_indices),
            indexed_layers=tuple(message.indexed_layers),
            error=message.error,
        )


@dataclass(frozen=True)
class Sample:
    """One image of a data set. id: position in it, from 0; encoded: the image file; label: the data
    set's own, None without.
    """

    id: int
    name: str
    label: int | None
    encoded: bytes = field(repr=False)

    @cached_property
    def image(self) -> Image:
        """The image (PIL)."""
        return pictures.decode(self.encoded)

    def _repr_png_(self) -> bytes:
        return pictures.encode_png(self.image)

    @staticmethod
    def read(message: interpret_pb2.Sample) -> Sample:
        return Sample(
            message.id,
            message.name,
            message.label if message.HasField("label") else None,
            message.image,
        )
