"""The arithmetic of receptive fields: what windows, padding, moving and adding make of them."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interp.network.torch_calls import Function, Window, tensors_in


@dataclass(frozen=True)
class Axis:
    """A tensor's dimension that runs along the image.

    Index i covers the image's rows (or columns) offset + i * jump ... offset + i * jump + size - 1,
    those of them that are from `begin` to `end` - 1: what a stride left over, and the padding or
    overhang of a window at an edge, is seen by no index.

    Attributes:
        dim: number of the dimension, negative.
        size: rows or columns that an index covers.
        jump: rows or columns from one index to the next.
        offset: first row or column of index 0; negative in the padding.
        begin, end: the first row or column that any index covers, and the one after the last.
    """

    dim: int
    size: int = 1
    jump: int = 1
    offset: int = 0
    begin: int = 0
    end: int = sys.maxsize

    def of_extent(self, extent: int) -> "Axis":
        """Return the axis whose indices are those below `extent`, which may see less."""
        last = self.offset + (extent - 1) * self.jump + self.size
        return replace(self, begin=max(self.begin, self.offset), end=min(self.end, last))


@dataclass(frozen=True)
class Field:
    """The receptive field of a tensor's positions along the image's rows and columns."""

    rows: Axis
    columns: Axis

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Rows and columns."""
        return self.rows, self.columns


# an argument that depends on the image, and its field; None is a global one
Source = tuple[Tensor, Field | None]


def slide(field: Field, window: Window, extents: Sequence[int]) -> Field | None:
    """Return the field of a convolution's or pool's output: size grows by (k - 1) * jump, jump by
    the factor s, offset falls by p * jump (Araujo et al. 2019, "Computing receptive fields",
    section 3).

    Args:
        field: of the input.
        window: what is slid over it.
        extents: rows and columns of the output.

    Returns:
        None if the input's last two dimensions are not rows and columns.
    """
    if (field.rows.dim, field.columns.dim) != (-2, -1):
        return None
    sides = zip(
        field.axes,
        window.kernel,
        window.stride,
        window.padding,
        window.dilation,
        extents,
        strict=True,
    )
    return Field(
        *(
            replace(
                a,
                size=a.size + (k - 1) * d * a.jump,
                jump=a.jump * s,
                offset=a.offset - p * a.jump,
            ).of_extent(extent)
            for a, k, s, p, d, extent in sides
        )
    )


def pad(
    field: Field, shape: Sequence[int], pad: Iterable[int], mode: str = "constant", **_: Any
) -> Field | None:
    """Return the field of a padded tensor.

    Args:
        field: of the input.
        shape: of the output.
        pad, mode: as `torch.nn.functional.pad` takes them.

    Returns:
        None for circular padding, which brings in the other end of the image.
    """
    pads = list(pad)
    if mode == "circular":
        return None
    before = {-1 - i // 2: pads[i] for i in range(0, len(pads), 2)}
    moved = (replace(a, offset=a.offset - before.get(a.dim, 0) * a.jump) for a in field.axes)
    return Field(*(a.of_extent(shape[a.dim]) for a in moved))


def combine(sources: list[Source], output: Tensor) -> Field | None:
    """Return the field of a function that acts on each position of its arguments alone.

    Args:
        sources: the arguments that depend on the image.
        output: what the function gives.

    Returns:
        the smallest field that holds those of all arguments; None where the maps do not match.
    """
    fields = [
        field
        for tensor, field in sources
        if field and tensor.ndim == output.ndim and _is_same_map(field, tensor, output)
    ]
    if len(fields) != len(sources):
        return None
    rows, columns = _hull(f.rows for f in fields), _hull(f.columns for f in fields)
    return Field(rows, columns) if rows and columns else None


def _is_same_map(field: Field, tensor: Tensor, output: Tensor) -> bool:
    return all(tensor.shape[a.dim] == output.shape[a.dim] for a in field.axes)


def _hull(axes: Iterable[Axis]) -> Axis | None:
    """The smallest axis that covers several; None if they run differently."""
    several = list(axes)
    first = several[0]
    if any((a.dim, a.jump) != (first.dim, first.jump) for a in several):
        return None
    offset = min(a.offset for a in several)
    size = max(a.offset + a.size for a in several) - offset
    begin, end = min(a.begin for a in several), max(a.end for a in several)
    return Axis(first.dim, size, first.jump, offset, begin, end)


def move(
    func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor, field: Field
) -> list[Field | None]:
    """Return the fields of a call that only moves elements, found by letting it move the source's
    row and column numbers.

    Args:
        func, args, kwargs: the call.
        source: the one argument that depends on the image.
        field: its receptive field.

    Returns:
        one field an output; None where rows or columns no longer lie evenly along a dimension.
    """
    moved: list[list[Axis | None]] = []
    for axis in field.axes:
        extent = source.shape[axis.dim]
        numbers = torch.arange(extent, dtype=torch.float32, device=source.device)
        numbers = numbers.view(-1, *[1] * (-axis.dim - 1))
        coordinates = torch.zeros_like(source, dtype=torch.float32, requires_grad=False)
        coordinates.add_(numbers)
        swapped = {k: coordinates if a is source else a for k, a in kwargs.items()}
        result = func(*(coordinates if a is source else a for a in args), **swapped)
        moved.append([_locate(t, axis, source.ndim) for t in tensors_in(result)])
    return [
        Field(rows, columns) if rows and columns else None
        for rows, columns in zip(*moved, strict=True)
    ]


def _locate(coordinates: Tensor, axis: Axis, ndim: int) -> Axis | None:
    """Where an axis has gone, whose numbers along it are now `coordinates`; None if they no longer
    lie evenly along one dimension.
    """
    changing = [
        d
        for d in range(coordinates.ndim)
        if bool((coordinates != coordinates.narrow(d, 0, 1)).any())
    ]
    start = int(coordinates.flatten()[0])
    if not changing:  # one row or column is left
        stays = coordinates.ndim == ndim and coordinates.shape[axis.dim] == 1
        moved = replace(axis, offset=axis.offset + start * axis.jump)
        return moved.of_extent(1) if stays else None
    if len(changing) > 1:
        return None
    dim = changing[0] - coordinates.ndim
    line = coordinates.movedim(dim, -1).flatten(0, -2)[0] if coordinates.ndim > 1 else coordinates
    step = int(line[1] - line[0])
    even = start + step * torch.arange(len(line), dtype=line.dtype, device=line.device)
    if step <= 0 or not torch.equal(line, even):
        return None
    offset = axis.offset + start * axis.jump
    return replace(axis, dim=dim, jump=axis.jump * step, offset=offset).of_extent(len(line))
