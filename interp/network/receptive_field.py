"""Receptive fields by arithmetic: which input rows and columns a tensor's positions depend on,
followed through one forward pass.

Every function that the pass calls either slides a window (kernel k, stride s, padding p: size grows
by (k - 1) * jump, jump by the factor s, offset falls by p * jump; Araujo et al. 2019, "Computing
receptive fields", section 3), moves elements without mixing them, acts on each position alone, or
mixes positions. What cannot be told is called global.
"""

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

Function = Callable[..., Any]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Axis:
    """A tensor's dimension `dim` (negative) that runs along the image: index i covers offset + i *
    jump ... + size - 1.
    """

    dim: int
    size: int = 1
    jump: int = 1
    offset: int = 0


@dataclass(frozen=True)
class Field:
    """The receptive field of a tensor's positions along the image's rows and columns."""

    rows: Axis
    columns: Axis

    @property
    def axes(self) -> tuple[Axis, Axis]:
        return self.rows, self.columns


@dataclass(frozen=True)
class Window:
    """What a convolution or pool slides over its input, each (rows, columns); padding is that
    before the first element.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


Source = tuple[
    Tensor, Field | None
]  # an argument that depends on the image; None is a global field

_PARAMETERS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation"),
    "max_pool2d_with_indices": ("input", "kernel_size", "stride", "padding", "dilation"),
    "lp_pool2d": ("input", "norm_type", "kernel_size", "stride"),
    "adaptive_avg_pool2d": ("input", "output_size"),
    "adaptive_max_pool2d": ("input", "output_size"),
    "adaptive_max_pool2d_with_indices": ("input", "output_size"),
    "pad": ("input", "pad", "mode"),
    "cat": ("tensors", "dim"),
    "layer_norm": ("input", "normalized_shape"),
    **dict.fromkeys(
        ("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "sort", "argsort"),
        ("input", "dim"),
    ),
    "normalize": ("input", "p", "dim"),
}
_MOVES_TEXT = """
    permute transpose swapaxes swapdims movedim moveaxis view reshape flatten unflatten
    unsqueeze squeeze chunk split
    tensor_split unbind narrow select index_select __getitem__ expand flip fliplr flipud roll rot90
    pixel_shuffle
    pixel_unshuffle channel_shuffle contiguous clone __get__
"""
_MIXES_TEXT = """
    matmul __matmul__ mm bmm baddbmm einsum tensordot group_norm instance_norm
    scaled_dot_product_attention
    multi_head_attention_forward interpolate upsample grid_sample conv_transpose2d fold topk
    fft_fft2 fft_rfft2
    fft_ifft2 __setitem__ index_put_ scatter gather
"""

_MOVES, _MIXES = frozenset(_MOVES_TEXT.split()), frozenset(_MIXES_TEXT.split())


class FieldTracer(TorchFunctionMode):
    """While active, knows the receptive field of every tensor that is computed from `image` (1, C,
    H, W).

    `image` must require gradients: that is how a tensor whose making went unseen is told from a
    constant.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self._fields: MutableMapping[Tensor, Field | None] = WeakTensorKeyDictionary()
        self._fields[image] = Field(Axis(-2), Axis(-1))

    def depends(self, tensor: Tensor) -> bool:
        """Whether the image has a say in `tensor`."""
        return tensor in self._fields or tensor.requires_grad

    def field(self, tensor: Tensor) -> Field | None:
        """The receptive field of a tensor that depends on the image; None if each element may
        depend on all of it.
        """
        return self._fields.get(tensor)

    def __torch_function__(
        self,
        func: Function,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        sources = [(t, self.field(t)) for t in _tensors((args, kwargs)) if self.depends(t)]
        result = func(*args, **kwargs)
        outputs = list(_tensors(result))
        if sources and outputs:
            self._fields.update(
                zip(outputs, _propagate(func, args, kwargs, sources, outputs), strict=True)
            )
        return result


def window_of(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Window | None:
    """The window that a call of `func` slides over its input; None if it is no convolution or pool
    in two dimensions.
    """
    name = _name(func)
    if name != "conv2d" and name.removesuffix("_with_indices") not in (
        "avg_pool2d",
        "max_pool2d",
        "lp_pool2d",
    ):
        return None
    given = bound(name, args, kwargs)
    kernel = _pair(given["weight"].shape[2:] if name == "conv2d" else given["kernel_size"])
    stride = given.get("stride")
    if stride is None or stride == []:
        stride = 1 if name == "conv2d" else kernel
    dilation, padding = _pair(given.get("dilation", 1)), given.get("padding", 0)
    if padding == "valid":
        padding = 0
    elif padding == "same":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    return Window(kernel, _pair(stride), _pair(padding), dilation)


def bound(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a call by the parameter names of `_PARAMETERS`; those beyond are left out."""
    return dict(zip(_PARAMETERS[name], args, strict=False)) | kwargs


def _propagate(
    func: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sources: list[Source],
    outputs: list[Tensor],
) -> list[Field | None]:
    """The fields of a call's outputs."""
    name, (tensor, field) = _name(func), sources[0]
    if name in _MIXES or any(f is None for _, f in sources):
        return [None] * len(outputs)
    if name in _MOVES and field is not None and len(sources) == 1:
        return _moved(func, args, kwargs, tensor, field)
    window = window_of(func, args, kwargs)
    if name.startswith("adaptive_"):
        window = _adaptive_window(tensor, outputs[0])
        field = field if window else None
    if window is not None:
        return [field and _slid(field, window)] * len(outputs)
    if name == "pad" and field is not None:
        return [_padded(field, **bound(name, args, kwargs))]
    if _mixes_space(name, args, kwargs, sources):
        return [None] * len(outputs)
    return [_union(sources, output) for output in outputs]


def _slid(field: Field, window: Window) -> Field | None:
    if (field.rows.dim, field.columns.dim) != (-2, -1):
        return None
    sides = zip(
        field.axes, window.kernel, window.stride, window.padding, window.dilation, strict=True
    )
    return Field(
        *(
            Axis(a.dim, a.size + (k - 1) * d * a.jump, a.jump * s, a.offset - p * a.jump)
            for a, k, s, p, d in sides
        )
    )


def _adaptive_window(source: Tensor, output: Tensor) -> Window | None:
    """The window of an adaptive pool whose windows are all alike and not the whole map; None for
    any other.
    """
    kernel = _pair([i // o for i, o in zip(source.shape[-2:], output.shape[-2:], strict=True)])
    whole = any(o == 1 < i for i, o in zip(source.shape[-2:], output.shape[-2:], strict=True))
    uneven = any(i % o for i, o in zip(source.shape[-2:], output.shape[-2:], strict=True))
    return None if whole or uneven else Window(kernel, kernel, (0, 0), (1, 1))


def _padded(field: Field, pad: Iterable[int], mode: str = "constant", **_: Any) -> Field | None:
    pads = list(pad)
    if mode == "circular":
        return None
    before = {-1 - i // 2: pads[i] for i in range(0, len(pads), 2)}
    return Field(*(replace(a, offset=a.offset - before.get(a.dim, 0) * a.jump) for a in field.axes))


def _mixes_space(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], sources: list[Source]
) -> bool:
    """Whether a call of that name, which keeps the shape, mixes positions."""
    tensor, field = sources[0]
    space = {a.dim for a in field.axes} if field else set()
    if name == "linear":
        return -1 in space
    if name == "layer_norm":
        return bool(space & set(range(-len(bound(name, args, kwargs)["normalized_shape"]), 0)))
    if name == "batch_norm":
        return bool(kwargs.get("training", args[5] if len(args) > 5 else False))
    if name in _PARAMETERS:  # functions along one dimension
        dim = bound(name, args, kwargs).get("dim", {"cat": 0, "normalize": 1}.get(name))
        return not isinstance(dim, int) or (dim - tensor.ndim if dim >= 0 else dim) in space
    return False


def _union(sources: list[Source], output: Tensor) -> Field | None:
    """The field of a function that acts on each position alone; None where the maps do not
    match.
    """
    fields = [
        field
        for tensor, field in sources
        if field and tensor.ndim == output.ndim and _same_map(field, tensor, output)
    ]
    if len(fields) != len(sources):
        return None
    rows, columns = _hull(f.rows for f in fields), _hull(f.columns for f in fields)
    return Field(rows, columns) if rows and columns else None


def _same_map(field: Field, tensor: Tensor, output: Tensor) -> bool:
    return all(tensor.shape[a.dim] == output.shape[a.dim] for a in field.axes)


def _hull(axes: Iterable[Axis]) -> Axis | None:
    several = list(axes)
    first = several[0]
    if any((a.dim, a.jump) != (first.dim, first.jump) for a in several):
        return None
    offset = min(a.offset for a in several)
    return Axis(first.dim, max(a.offset + a.size for a in several) - offset, first.jump, offset)


def _moved(
    func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor, field: Field
) -> list[Field | None]:
    """The fields of a call that only moves elements: told by letting it move the source's row and
    column numbers.
    """
    moved: list[list[Axis | None]] = []
    for axis in field.axes:
        extent = source.shape[axis.dim]
        numbers = torch.arange(extent, dtype=torch.float32, device=source.device).view(
            -1, *[1] * (-axis.dim - 1)
        )
        coordinates = torch.zeros_like(source, dtype=torch.float32, requires_grad=False).add_(
            numbers
        )
        swapped = {k: coordinates if a is source else a for k, a in kwargs.items()}
        result = func(*(coordinates if a is source else a for a in args), **swapped)
        moved.append([_located(t, axis, source.ndim) for t in _tensors(result)])
    return [
        Field(rows, columns) if rows and columns else None
        for rows, columns in zip(*moved, strict=True)
    ]


def _located(coordinates: Tensor, axis: Axis, ndim: int) -> Axis | None:
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
        return replace(axis, offset=axis.offset + start * axis.jump) if stays else None
    if len(changing) > 1:
        return None
    dim = changing[0] - coordinates.ndim
    line = coordinates.movedim(dim, -1).flatten(0, -2)[0] if coordinates.ndim > 1 else coordinates
    step = int(line[1] - line[0])
    if step <= 0 or not torch.equal(
        line, start + step * torch.arange(len(line), dtype=line.dtype, device=line.device)
    ):
        return None
    return Axis(dim, axis.size, axis.jump * step, axis.offset + start * axis.jump)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _name(func: Function) -> str:
    name = getattr(func, "__name__", "")
    return "max_pool2d" if name == "_max_pool2d" else name


def _pair(value: Any) -> Pair:
    if isinstance(value, int):
        return value, value
    several = [int(v) for v in value]
    return several[0], several[-1]
