"""What a network is made of: every layer with its shape, cost and receptive field."""

from dataclasses import dataclass

import torch
from torch import nn

from interp.network.module_records import ModuleRecord, OperationCounter, record_modules
from interp.network.network import Network
from interp.network.receptive_field import FieldTracer
from interp.network.torch_calls import Pair


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that a layer's positions depend on.

    Position (i, j) depends on the rows offset_y + i * jump_y to offset_y + i * jump_y + height - 1,
    likewise on columns, of which those outside the bounds are seen by no position: they are
    padding, left over by a stride, or under the overhang of a window (`ceil_mode`).

    Attributes:
        height, width: extents in pixels.
        jump_y, jump_x: pixels from one position to the next.
        offset_y, offset_x: first row and column of position (0, 0), negative in the padding.
        bounds: (top, left, bottom, right), what all positions together depend on: the first row
            and column, and those after the last.
        is_global: the field is the whole image for every position, with jump 0.
    """

    height: int
    width: int
    jump_y: int
    jump_x: int
    offset_y: int
    offset_x: int
    bounds: tuple[int, int, int, int]
    is_global: bool = False


@dataclass(frozen=True)
class LayerInfo:
    """One module of a network as it runs at the network's input size.

    Attributes:
        name: dotted path, as in `Network.layers`.
        type: class name of the module.
        kernel, stride, padding, dilation: (rows, columns) of a convolution or pool; None elsewhere.
        output_shape: extents without the batch, (units, rows, columns) of maps, also where the
            module computes them with channels last.
        parameters: of this module and all inside it.
        multiply_adds: of convolutions and linear layers for one image, of this module and all
            inside it.
        receptive_field: None where the output has no rows and columns.
        unavailable: why there are no units in the output to ask for, a clause; "" where there are.
    """

    name: str
    type: str
    kernel: Pair | None
    stride: Pair | None
    padding: Pair | None
    dilation: Pair | None
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: ReceptiveField | None
    unavailable: str = ""


def describe(network: Network) -> list[LayerInfo]:
    """Describe every layer of a network, by one forward pass of one image.

    Returns:
        one entry a layer, in the order of `network.layers`.
    """
    modules = {name: module for name, module in network.module.named_modules() if name}
    records = {name: ModuleRecord() for name in modules}
    # The module is given an intermediate result, as some write into their input.
    image = torch.zeros(
        1, *network.shape, device=network.device, dtype=network.dtype, requires_grad=True
    ).clone(memory_format=network.memory_format)
    running: list[str] = []
    tracer = FieldTracer(image)
    recording = record_modules(modules, records, running, tracer)
    with recording, tracer, OperationCounter(records, running):
        network.module(image)
    return [_layer_info(network, name, modules[name], records[name]) for name in network.layers]


def _layer_info(network: Network, name: str, module: nn.Module, record: ModuleRecord) -> LayerInfo:
    unavailable = network.unavailable.get(name, "")
    is_leaf = next(module.children(), None) is None
    window = next(iter(record.windows)) if is_leaf and len(record.windows) == 1 else None
    return LayerInfo(
        name=name,
        type=type(module).__name__,
        kernel=window.kernel if window else None,
        stride=window.stride if window else None,
        padding=window.padding if window else None,
        dilation=window.dilation if window else None,
        output_shape=network.output_shapes[name],
        parameters=sum(p.numel() for p in module.parameters()),
        multiply_adds=record.multiply_adds,
        receptive_field=None if unavailable else _receptive_field(record, network.shape),
        unavailable=unavailable,
    )


def _receptive_field(record: ModuleRecord, shape: tuple[int, int, int]) -> ReceptiveField | None:
    if not record.has_field:
        return None
    if record.field is None:
        return ReceptiveField(
            shape[1], shape[2], 0, 0, 0, 0, (0, 0, shape[1], shape[2]), is_global=True
        )
    rows, columns = record.field.axes
    return ReceptiveField(
        height=rows.size,
        width=columns.size,
        jump_y=rows.jump,
        jump_x=columns.jump,
        offset_y=rows.offset,
        offset_x=columns.offset,
        bounds=(rows.begin, columns.begin, rows.end, columns.end),
    )
