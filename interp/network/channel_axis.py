"""Which axis of a layer's output is that of its channels, and the output with channels first.

ConvNeXt, Swin and their kin compute maps as (B, H, W, C). Everything that asks for a layer sees
(B, C, H, W): outputs pass through `Layout.present` where they leave the network, and through
`Layout.restore` where changed ones go back into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from interp.network.position_labels import UNKNOWN, Labels, LabelTracer, main_axis


@dataclass(frozen=True)
class Layout:
    """The order of a map's axes.

    Attributes:
        axes: numbers of the axes of channels, rows and columns, from -3 to -1.
    """

    axes: tuple[int, int, int] = (-3, -2, -1)

    @property
    def is_standard(self) -> bool:
        """Whether it is (B, C, H, W)."""
        return self.axes == (-3, -2, -1)

    def present(self, output: Tensor) -> Tensor:
        """Return a map in this layout as a view (B, C, H, W)."""
        return output if self.is_standard else output.permute(0, *self.axes)

    def restore(self, output: Tensor) -> Tensor:
        """Return (B, C, H, W) as a view in this layout."""
        order = [1 + self.axes.index(axis) for axis in (-3, -2, -1)]
        return output if self.is_standard else output.permute(0, *order)


STANDARD = Layout()


@dataclass
class Layouts:
    """How the layers of a network lay out what they give.

    Attributes:
        of_layers: layer -> its layout, where that is not (B, C, H, W).
        unavailable: layer -> why its output has no units to ask for, a clause.
    """

    of_layers: dict[str, Layout] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, layer: str) -> Layout:
        """Return the layout of a layer."""
        return self.of_layers.get(layer, STANDARD)

    def shape(self, layer: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a layer's output for one image, as it is presented.

        Args:
            layer: dotted name.
            shape: as the layer gives it, without the batch.
        """
        layout = self[layer]
        return shape if layout.is_standard else tuple(shape[axis] for axis in layout.axes)


@torch.no_grad()
def read_layouts(module: nn.Module, modules: Mapping[str, nn.Module], image: Tensor) -> Layouts:
    """Find the axes of every layer's channels, rows and columns, by one forward pass.

    Args:
        module: maps images to logits.
        modules: its parts by dotted name.
        image: (1, C, H, W) as the module takes it.
    """
    layouts, tracer = Layouts(), LabelTracer(image)

    def note(name: str, args: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        if args and isinstance(args[0], Tensor):
            tracer.adopt(output, args[0])
        layouts.of_layers.pop(name, None)
        layouts.unavailable.pop(name, None)
        _add(layouts, name, output, tracer.labels(output) or UNKNOWN, image)

    handles = [
        part.register_forward_hook(lambda _, args, output, name=name: note(name, args, output))
        for name, part in modules.items()
    ]
    try:
        with tracer:
            module(image)
    finally:
        for handle in handles:
            handle.remove()
    return layouts


def _add(layouts: Layouts, name: str, output: Tensor, labels: Labels, image: Tensor) -> None:
    shape = tuple(output.shape[1:])
    if len(shape) == 3:
        layout = _layout(labels, shape, (image.shape[2], image.shape[3]))
        if layout is None:
            layouts.unavailable[name] = (
                f"the axes of its output {shape} are not channels, rows and columns"
            )
        elif not layout.is_standard:
            layouts.of_layers[name] = layout
    elif len(shape) == 2:
        layouts.unavailable[name] = (
            f"its output {shape} is a sequence, such as tokens by features, without rows and "
            f"columns"
        )
    elif len(shape) != 1:
        layouts.unavailable[name] = (
            f"its output {shape} is neither (units,) nor (units, rows, columns)"
        )


def _layout(labels: Labels, shape: tuple[int, int, int], extent: tuple[int, int]) -> Layout | None:
    """The order of a map's axes; None if it is no map, or that cannot be told.

    Args:
        labels: of the map.
        shape: of the map.
        extent: rows and columns of the image.
    """
    found = [None if label is None else main_axis(label) for label in labels]
    known = [axis for axis in found if axis is not None]
    if len(set(known)) < len(known) or any(axis < -3 for axis in known):
        return None
    if all(label is None for label in labels):
        return _layout_by_extent(shape, extent)
    left = [axis for axis in (-3, -2, -1) if axis not in known]
    is_spare = all(shape[axis] == 1 for axis in left)
    if (
        len(left) == 2
        and not is_spare
        and (found[0] is None or not _is_proportional(shape, left[0], left[1], extent))
    ):
        return None
    if len(left) == 3 and not is_spare:
        return _layout_by_extent(shape, extent)
    rest = iter(left)
    channels, rows, columns = (next(rest) if axis is None else axis for axis in found)
    return Layout((channels, rows, columns))


def _layout_by_extent(shape: tuple[int, int, int], extent: tuple[int, int]) -> Layout | None:
    """The layout in which rows and columns are in the image's proportion, if only one is."""
    first = _is_proportional(shape, -2, -1, extent)
    if first == _is_proportional(shape, -3, -2, extent):
        return None
    return STANDARD if first else Layout((-1, -3, -2))


def _is_proportional(
    shape: tuple[int, int, int], rows: int, columns: int, extent: tuple[int, int]
) -> bool:
    return shape[rows] * extent[1] == shape[columns] * extent[0]
