"""What a network is made of: every layer with its shape, cost and receptive field."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interp.network.network import Network
from interp.network.receptive_field import Field, FieldTracer, Pair, Window, window_of


@dataclass(frozen=True)
class ReceptiveField:
    """Input pixels that position (i, j) depends on: rows offset_y + i * jump_y to offset_y + i *
    jump_y + height - 1, likewise columns, of which those outside the image are padding.

    A global field (`is_global`) is the whole image for every position, with jump 0.
    """

    height: int
    width: int
    jump_y: int
    jump_x: int
    offset_y: int
    offset_x: int
    is_global: bool = False


@dataclass(frozen=True)
class LayerInfo:
    """One module of a network as it runs at the network's input size.

    Attributes:
        name: dotted path, as in `Network.layers`.
        type: class name of the module.
        kernel, stride, padding, dilation: (rows, columns) of a convolution or pool; None elsewhere.
        output_shape: extents without the batch.
        parameters: of this module and all inside it.
        multiply_adds: of convolutions and linear layers for one image, of this module and all
            inside it.
        receptive_field: None where the output has no rows and columns.
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


@dataclass
class _Record:
    """What a forward pass tells of one module."""

    windows: set[Window] = field(default_factory=set)
    multiply_adds: int = 0
    receptive_field: ReceptiveField | None = None


def describe(network: Network) -> list[LayerInfo]:
    """Describe every layer of `network.layers`, in that order, by one forward pass of one image."""
    modules = {name: module for name, module in network.module.named_modules() if name}
    records = {name: _Record() for name in modules}
    # The module is given an intermediate result, as some write into their input.
    image = torch.zeros(
        1, *network.shape, device=network.device, dtype=network.dtype, requires_grad=True
    ).clone(memory_format=torch.channels_last)
    running: list[str] = []
    tracer = FieldTracer(image)
    with _hooks(modules, records, running, tracer, network.shape), tracer, _Work(records, running):
        network.module(image)
    return [
        _info(name, modules[name], network.output_shapes[name], records[name])
        for name in network.layers
    ]


def _info(name: str, module: nn.Module, shape: tuple[int, ...], record: _Record) -> LayerInfo:
    is_leaf = next(module.children(), None) is None
    window = next(iter(record.windows)) if is_leaf and len(record.windows) == 1 else None
    return LayerInfo(
        name=name,
        type=type(module).__name__,
        kernel=window.kernel if window else None,
        stride=window.stride if window else None,
        padding=window.padding if window else None,
        dilation=window.dilation if window else None,
        output_shape=shape,
        parameters=sum(p.numel() for p in module.parameters()),
        multiply_adds=record.multiply_adds,
        receptive_field=record.receptive_field,
    )


class _Work(TorchFunctionMode):
    """Books windows on the innermost of the modules in `running`, and multiply-adds on all
    of them.
    """

    def __init__(self, records: dict[str, _Record], running: list[str]) -> None:
        super().__init__()
        self.records, self.running = records, running

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.running:
            window = window_of(func, args, kwargs)
            if window:
                self.records[self.running[-1]].windows.add(window)
            cost = _multiply_adds(getattr(func, "__name__", ""), args, kwargs, result)
            for name in self.running if cost else ():
                self.records[name].multiply_adds += cost
        return result


def _multiply_adds(
    function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> int:
    if function not in ("conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear"):
        return 0
    x = args[0] if args else kwargs["input"]
    weight = args[1] if len(args) > 1 else kwargs["weight"]
    spread = (
        x if function == "conv_transpose2d" else result
    )  # each of its elements meets one row of the weights
    return int(spread.numel() * prod(weight.shape[1:]))


@contextmanager
def _hooks(
    modules: dict[str, nn.Module],
    records: dict[str, _Record],
    running: list[str],
    tracer: FieldTracer,
    shape: tuple[int, int, int],
) -> Iterator[None]:
    """Keep `running` the stack of modules that run, and note each module's receptive field as it
    finishes.
    """

    def enter(name: str, *_: Any) -> None:
        running.append(name)

    def leave(name: str, _: nn.Module, __: Any, output: Any) -> None:
        running.pop()
        if isinstance(output, Tensor) and output.ndim == 4 and tracer.depends(output):
            records[name].receptive_field = _receptive_field(tracer.field(output), shape)

    handles = [m.register_forward_pre_hook(partial(enter, n)) for n, m in modules.items()]
    handles += [m.register_forward_hook(partial(leave, n)) for n, m in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _receptive_field(found: Field | None, shape: tuple[int, int, int]) -> ReceptiveField:
    if found is None:
        return ReceptiveField(shape[1], shape[2], 0, 0, 0, 0, is_global=True)
    rows, columns = found.axes
    return ReceptiveField(
        rows.size, columns.size, rows.jump, columns.jump, rows.offset, columns.offset
    )
