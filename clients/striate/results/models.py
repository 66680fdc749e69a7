"""What the server says about its models and their layers."""

from __future__ import annotations

from dataclasses import dataclass, field

from striate._formats.columns import Columns
from striate.v1 import model_pb2


@dataclass(frozen=True)
class ModelInfo:
    """A hosted network. What only a loaded network has is empty while it is "available".

    Attributes:
        name: What requests call it.
        state: "available" (known by name, and loaded when asked for), "loading" or "serving".
        architecture: Name of the architecture, e.g. "resnet50".
        weights: Where the weights came from.
        digest: SHA-256 of weights and preprocessing, in hexadecimal.
        input_size: (height, width) of input images in pixels.
        channels: Channels of input images, 1 or 3.
        mean: Mean of each channel that the network subtracts, in pixel units of [0, 1].
        std: Standard deviation of each channel that it divides by, in the same units.
        resize: Pixels of an image's short side before the centre crop.
        interpolation: How images are resized, e.g. "bilinear".
        classes: Class names in the order of the logits.
        parameters: Number of parameters.
        memory_bytes: Bytes of parameters and buffers.
        license: Licence of the weights, "" where it is not stated.
        source: Who published the weights, in words or as an address, "" where it is not stated.
        warnings: What loading found odd about the network, e.g. logits that depend on the other
            images of a pass, or a backward pass that fails.
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
    warnings: tuple[str, ...] = ()
    license: str = ""
    source: str = ""

    @staticmethod
    def read(message: model_pb2.ModelInfo) -> ModelInfo:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
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
            warnings=tuple(message.warnings),
            license=message.license,
            source=message.source,
        )


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that a unit depends on.

    The unit at row i of its map covers the `size[0]` input rows from `offset[0] + i * jump[0]` on,
    and likewise columns.

    Attributes:
        size: (rows, columns) of the receptive field in pixels.
        jump: (rows, columns) in pixels between the fields of neighbouring positions.
        offset: (row, column) in pixels at which the field of position (0, 0) begins, negative
            inside the padding.
        is_global: Whether the unit depends on the whole image.
        bounds: (top, left, bottom, right) in pixels of what any unit of the layer depends on,
            bottom and right excluded. Rows and columns of a field that lie outside are padding,
            left over by a stride, or under the overhang of a window.
    """

    size: tuple[int, int]
    jump: tuple[int, int]
    offset: tuple[int, int]
    is_global: bool
    bounds: tuple[int, int, int, int]


@dataclass(frozen=True)
class Layer:
    """One module of a network.

    Attributes:
        name: Dotted name, as PyTorch's `named_modules` gives it, in the form in which it may be
            typed: in quotes, if it has characters other than letters, digits, "_", ".", "/" and
            "-".
        type: Name of the module's class, e.g. "Conv2d".
        kernel: (rows, columns), empty for modules without a kernel; likewise `stride`, `padding`
            and `dilation`.
        stride: (rows, columns), or empty.
        padding: (rows, columns), or empty.
        dilation: (rows, columns), or empty.
        output_shape: (channels, rows, columns) or (features,). Channels come first also where the
            network computes them last.
        parameters: Parameters of this module and all inside it.
        multiply_adds: Multiplications of this module and all inside it, for one image.
        receptive_field: That of one unit, None where it is not known.
        unavailable: Why the layer has no units to ask for, "" where it has. Tokens (N, features),
            attention maps and windows are such layers.
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
    unavailable: str = ""

    @staticmethod
    def read(message: model_pb2.Layer) -> Layer:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
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
                (rf.top, rf.left, rf.bottom, rf.right),
            )
            if message.HasField("receptive_field")
            else None,
            unavailable=message.unavailable,
        )


def _extents(values: tuple[int, ...]) -> str:
    return "x".join(map(str, values))


def _field(layer: Layer) -> str:
    field = layer.receptive_field
    if field is None:
        return ""
    return "whole image" if field.is_global else _extents(field.size)


MODEL_COLUMNS: Columns[ModelInfo] = {
    "model": lambda info: info.name,
    "state": lambda info: info.state,
    "architecture": lambda info: info.architecture,
    "weights": lambda info: info.weights,
    "input": lambda info: _extents((info.channels, *info.input_size)) if info.channels else "",
    "classes": lambda info: len(info.classes) or "",
    "parameters": lambda info: info.parameters or "",
}
LAYER_COLUMNS: Columns[Layer] = {
    "layer": lambda layer: layer.name,
    "type": lambda layer: layer.type,
    "kernel": lambda layer: _extents(layer.kernel),
    "stride": lambda layer: _extents(layer.stride),
    "output": lambda layer: _extents(layer.output_shape),
    "parameters": lambda layer: layer.parameters,
    "multiply-adds": lambda layer: layer.multiply_adds,
    "receptive field": _field,
    "no units": lambda layer: layer.unavailable,
}
