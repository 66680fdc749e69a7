"""The gradient of a strided convolution with respect to its few input channels, such as pixels, in
less than half of the time.

Libraries are slow at it on a CPU: for the first layer of most networks it takes as long as some ten
layers after it. Pixels with the same remainders of row and column by the stride see the same
weights, so the gradient of each such class is a convolution without stride; all classes are the
channels of one, which then take their places (Shi et al. 2016, "Is the deconvolution layer the same
as a convolutional layer?").
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MAX_CHANNELS = 4  # from 8 on the library's own way is faster


def is_stem_convolution(layer: nn.Module) -> bool:
    """Whether a `StemConv2d` does the same as a layer, and is faster: the layer is a convolution on
    a CPU with few input channels, a stride, and windows that overlap.
    """
    return (
        type(layer) is nn.Conv2d
        and layer.weight.device.type == "cpu"
        and layer.in_channels <= _MAX_CHANNELS
        and 1
        < layer.stride[0]
        == layer.stride[1]
        < min(layer.kernel_size)  # patches that do not overlap gain little
        and layer.groups == 1
        and set(layer.dilation) == {1}
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


class StemConv2d(nn.Module):
    """The first convolution of a network, with another way back to its input.

    Its weights get no gradient.
    """

    # (C * stride * stride, K, n, n): for each class of pixels the weights that it sees
    phase_weights: Tensor

    def __init__(self, layer: nn.Conv2d) -> None:
        """Take a layer, which does the forward pass.

        Args:
            layer: one that `is_stem_convolution`.
        """
        super().__init__()
        self.layer, stride = layer, layer.stride[0]
        beyond = [-size % stride for size in layer.kernel_size]
        weight = F.pad(
            layer.weight.detach(), (0, beyond[1], 0, beyond[0])
        ).contiguous()  # (K, C, n * stride, n * stride)
        parted = weight.view(
            *weight.shape[:2], weight.shape[2] // stride, stride, weight.shape[3] // stride, stride
        )
        phases = parted.flip(2, 4).permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
        self.register_buffer("phase_weights", phases.contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output (B, K, h, w) for x (B, C, H, W)."""
        output: Tensor = _StemFunction.apply(x, self)
        return output

    def input_gradient(self, grad: Tensor, height: int, width: int) -> Tensor:
        """Return the gradient with respect to the input.

        Args:
            grad: (B, K, h, w), with respect to the output.
            height, width: of the input.

        Returns:
            (B, C, H, W).
        """
        rows, columns = self.phase_weights.shape[2:]
        stride, (top, left) = self.layer.stride[0], map(int, self.layer.padding)
        padded = F.pixel_shuffle(
            F.conv2d(grad, self.phase_weights, padding=(rows - 1, columns - 1)), stride
        )
        bottom, right = (
            height + top - padded.shape[2],
            width + left - padded.shape[3],
        )  # the last pixels may be in no window
        return F.pad(padded, (-left, right, -top, bottom))


class _StemFunction(torch.autograd.Function):
    """The layer forwards, `StemConv2d.input_gradient` backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stem: StemConv2d) -> Tensor:
        ctx.stem, ctx.size = stem, x.shape[2:]
        output: Tensor = stem.layer(x)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.stem.input_gradient(grad, *ctx.size), None
