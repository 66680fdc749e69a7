"""What the server says about its models and their layers."""

from __future__ import annotations

from dataclasses import dataclass, field

from striate.v1 import model_pb2


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
