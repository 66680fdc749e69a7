"""Receptive fields by arithmetic: which input rows and columns a tensor's positions depend on,
followed through one forward pass.

Every function that the pass calls either slides a window, moves elements without mixing them, acts
on each position alone, or mixes positions (see `interp.network.field_arithmetic`). What cannot be
told is called global.
"""

from collections.abc import MutableMapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from interp.network import field_arithmetic
from interp.network.field_arithmetic import Axis, Field, Source
from interp.network.torch_calls import (
    Function,
    Window,
    arguments_by_name,
    as_pair,
    function_name,
    has_parameters,
    tensors_in,
    window_of,
)

_MOVING_NAMES = """
    permute transpose swapaxes swapdims movedim moveaxis view reshape flatten unflatten
    unsqueeze squeeze chunk split
    tensor_split unbind narrow select index_select __getitem__ expand flip fliplr flipud roll rot90
    pixel_shuffle
    pixel_unshuffle channel_shuffle contiguous clone __get__
"""
_MIXING_NAMES = """
    matmul __matmul__ mm bmm baddbmm einsum tensordot group_norm instance_norm
    scaled_dot_product_attention
    multi_head_attention_forward interpolate upsample grid_sample conv_transpose2d fold topk
    fft_fft2 fft_rfft2
    fft_ifft2 __setitem__ index_put_ scatter gather
"""

_MOVING, _MIXING = frozenset(_MOVING_NAMES.split()), frozenset(_MIXING_NAMES.split())


class FieldTracer(TorchFunctionMode):
    """While active, follows the receptive field of every tensor that is computed from an image.

    Use it as a context: `with FieldTracer(image) as tracer: ...`.
    """

    def __init__(self, image: Tensor) -> None:
        """Begin with an image, whose positions are their own field.

        Args:
            image: (1, C, H, W). It must require gradients: that is how a tensor whose making went
                unnoticed is distinguished from a constant.
        """
        super().__init__()
        self._fields: MutableMapping[Tensor, Field | None] = WeakTensorKeyDictionary()
        self._fields[image] = Field(*(Axis(dim, end=image.shape[dim]) for dim in (-2, -1)))

    def depends(self, tensor: Tensor) -> bool:
        """Whether a tensor is computed from the image."""
        return tensor in self._fields or tensor.requires_grad

    def field(self, tensor: Tensor) -> Field | None:
        """Return the receptive field of a tensor that depends on the image.

        Returns:
            None if each element may depend on all of the image.
        """
        return self._fields.get(tensor)

    def __torch_function__(
        self,
        func: Function,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, and note the fields of what it gives; see
        `TorchFunctionMode`.
        """
        kwargs = kwargs or {}
        sources = [(t, self.field(t)) for t in tensors_in((args, kwargs)) if self.depends(t)]
        result = func(*args, **kwargs)
        outputs = list(tensors_in(result))
        if sources and outputs:
            self._fields.update(
                zip(outputs, _propagate(func, args, kwargs, sources, outputs), strict=True)
            )
        return result


def _propagate(
    func: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sources: list[Source],
    outputs: list[Tensor],
) -> list[Field | None]:
    """The fields of a call's outputs."""
    name, (tensor, field) = function_name(func), sources[0]
    if name in _MIXING or any(f is None for _, f in sources):
        return [None] * len(outputs)
    if name in _MOVING and field is not None and len(sources) == 1:
        return field_arithmetic.move(func, args, kwargs, tensor, field)
    window = window_of(func, args, kwargs)
    if name.startswith("adaptive_"):
        window = _adaptive_window(tensor, outputs[0])
        field = field if window else None
    if window is not None:
        extents = outputs[0].shape[-2:]
        return [field and field_arithmetic.slide(field, window, extents)] * len(outputs)
    if name == "pad" and field is not None:
        padding = arguments_by_name(name, args, kwargs)
        return [field_arithmetic.pad(field, outputs[0].shape, **padding)]
    if _mixes_space(name, args, kwargs, sources):
        return [None] * len(outputs)
    return [field_arithmetic.combine(sources, output) for output in outputs]


def _adaptive_window(source: Tensor, output: Tensor) -> Window | None:
    """The window of an adaptive pool whose windows are all alike and not the whole map; None for
    any other.
    """
    kernel = as_pair([i // o for i, o in zip(source.shape[-2:], output.shape[-2:], strict=True)])
    whole = any(o == 1 < i for i, o in zip(source.shape[-2:], output.shape[-2:], strict=True))
    uneven = any(i % o for i, o in zip(source.shape[-2:], output.shape[-2:], strict=True))
    return None if whole or uneven else Window(kernel, kernel, (0, 0), (1, 1))


def _mixes_space(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], sources: list[Source]
) -> bool:
    """Whether a call of that name, which keeps the shape, mixes positions."""
    tensor, field = sources[0]
    space = {a.dim for a in field.axes} if field else set()
    if name == "linear":
        return -1 in space
    if name == "layer_norm":
        return bool(
            space & set(range(-len(arguments_by_name(name, args, kwargs)["normalized_shape"]), 0))
        )
    if name == "batch_norm":
        return bool(kwargs.get("training", args[5] if len(args) > 5 else False))
    if has_parameters(name):  # functions along one dimension
        dim = arguments_by_name(name, args, kwargs).get("dim", {"cat": 0, "normalize": 1}.get(name))
        return not isinstance(dim, int) or (dim - tensor.ndim if dim >= 0 else dim) in space
    return False
