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

_FEW = 4  # channels: from 8 on the library's own way is faster


def fits(layer: nn.Module) -> bool:
    """Whether a `Stem` does the same as a layer, and is faster."""
    return (
        type(layer) is nn.Conv2d
        and layer.weight.device.type == "cpu"
        and layer.in_channels <= _FEW
        and 1
        < layer.stride[0]
        == layer.stride[1]
        < min(layer.kernel_size)  # patches that do not overlap gain little
        and layer.groups == 1
        and set(layer.dilation) == {1}
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


class Stem(nn.Module):
    """A convolution that `fits`, with another way back to its input; its weights get no
    gradient.
    """

    turned: (
        Tensor  # (C * stride * stride, K, n, n): for each class of pixels the weights that it sees
    )

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer, stride = layer, layer.stride[0]
        beyond = [-size % stride for size in layer.kernel_size]
        weight = F.pad(
            layer.weight.detach(), (0, beyond[1], 0, beyond[0])
        ).contiguous()  # (K, C, n * stride, n * stride)
        parted = weight.view(
            *weight.shape[:2], weight.shape[2] // stride, stride, weight.shape[3] // stride, stride
        )
        turned = parted.flip(2, 4).permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
        self.register_buffer("turned", turned.contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output (B, K, h, w) for x (B, C, H, W)."""
        output: Tensor = _Convolved.apply(x, self)
        return output

    def back(self, grad: Tensor, height: int, width: int) -> Tensor:
        """The gradient (B, C, H, W) of the input from that of the output, (B, K, h, w)."""
        rows, columns = self.turned.shape[2:]
        stride, (top, left) = self.layer.stride[0], map(int, self.layer.padding)
        padded = F.pixel_shuffle(
            F.conv2d(grad, self.turned, padding=(rows - 1, columns - 1)), stride
        )
        bottom, right = (
            height + top - padded.shape[2],
            width + left - padded.shape[3],
        )  # the last pixels may be in no window
        return F.pad(padded, (-left, right, -top, bottom))


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stem: Stem) -> Tensor:
        ctx.stem, ctx.size = stem, x.shape[2:]
        output: Tensor = stem.layer(x)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.stem.back(grad, *ctx.size), None
