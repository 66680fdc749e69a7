"""Wide residual networks (Zagoruyko and Komodakis 2016) for images of 32 x 32, in the two forms in
which adversarially trained ones are published.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STRIDES = (1, 2, 2)  # of the three groups


def _blocks_a_group(depth: int) -> int:
    """The n of depth = 6n + 4 (section 2).

    Raises:
        ValueError: the depth is not of that form.
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise ValueError(f"depth {depth} is not 6n + 4")
    return blocks


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each behind batch norm and rectifier (table 1, "B(3, 3)"); where the
    number of channels changes, the shortcut is a 1x1 convolution of the rectified input.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        """Build the block, whose first convolution has the stride."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.convShortcut = (
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            if channels_in != channels_out
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, K, h, w) for its input."""
        active = self.relu1(self.bn1(x))
        residual: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        return residual + (x if self.convShortcut is None else self.convShortcut(active))


class _Group(nn.Module):
    """Blocks under the name `layer`, as the published weights call them."""

    def __init__(self, channels_in: int, channels_out: int, blocks: int, stride: int) -> None:
        super().__init__()
        first = WideBlock(channels_in, channels_out, stride)
        rest = (WideBlock(channels_out, channels_out, 1) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x)
        return output


class WideResNet(nn.Module):
    """A wide residual network of depth 6n + 4 (Zagoruyko and Komodakis 2016, table 1), under the
    names of tensors that TRADES and most networks of RobustBench have: input (B, 3, 32, 32).
    """

    def __init__(self, depth: int, widening: int, classes: int = 10) -> None:
        """Build the network with random weights.

        Args:
            depth: 6n + 4 for n blocks a group, e.g. 28.
            widening: factor of the channels, the paper's k, e.g. 10.
            classes: number of logits.

        Raises:
            ValueError: the depth is not 6n + 4.
        """
        super().__init__()
        blocks, k = _blocks_a_group(depth), widening
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.block1 = _Group(16, 16 * k, blocks, _STRIDES[0])
        self.block2 = _Group(16 * k, 32 * k, blocks, _STRIDES[1])
        self.block3 = _Group(32 * k, 64 * k, blocks, _STRIDES[2])
        self.bn1 = nn.BatchNorm2d(64 * k)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(64 * k, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of normalized images x (B, 3, 32, 32)."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))  # (B, 64k, 8, 8)
        logits: Tensor = self.fc(torch.mean(self.relu(self.bn1(x)), (2, 3)))
        return logits


class SamePaddingBlock(nn.Module):
    """A wide block with SiLU, whose convolutions of stride 2 are padded below and on the right
    alone, as TensorFlow's "same" padding has it.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        """Build the block, whose first convolution has the stride."""
        super().__init__()
        self.batchnorm_0 = nn.BatchNorm2d(channels_in)
        self.relu_0 = nn.SiLU()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        self.conv_0 = nn.Conv2d(channels_in, channels_out, 3, stride, bias=False)
        self.batchnorm_1 = nn.BatchNorm2d(channels_out)
        self.relu_1 = nn.SiLU()
        self.conv_1 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.shortcut = (
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            if channels_in != channels_out
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, K, h, w) for its input."""
        active = self.relu_0(self.batchnorm_0(x))
        inner = self.relu_1(self.batchnorm_1(self.conv_0(self.pad(active))))
        residual: Tensor = self.conv_1(inner)
        return residual + (x if self.shortcut is None else self.shortcut(active))


class _SamePaddingGroup(nn.Module):
    """Blocks under the name `block`, as the published weights call them."""

    def __init__(self, channels_in: int, channels_out: int, blocks: int, stride: int) -> None:
        super().__init__()
        first = SamePaddingBlock(channels_in, channels_out, stride)
        rest = (SamePaddingBlock(channels_out, channels_out, 1) for _ in range(blocks - 1))
        self.block = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.block(x)
        return output


class SamePaddingWideResNet(nn.Module):
    """The wide residual network with SiLU of Gowal et al. 2020 ("Uncovering the limits of
    adversarial training", section 4.5) and those who followed them, under the names of tensors of
    their published weights: input (B, 3, 32, 32).
    """

    def __init__(self, depth: int, widening: int, classes: int = 10) -> None:
        """Build the network with random weights.

        Args:
            depth: 6n + 4 for n blocks a group, e.g. 28.
            widening: factor of the channels, e.g. 10.
            classes: number of logits.

        Raises:
            ValueError: the depth is not 6n + 4.
        """
        super().__init__()
        blocks = _blocks_a_group(depth)
        widths = [16, *(16 * widening * 2**group for group in range(3))]
        self.init_conv = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.layer = nn.Sequential(
            *(
                _SamePaddingGroup(widths[group], widths[group + 1], blocks, _STRIDES[group])
                for group in range(3)
            )
        )
        self.batchnorm = nn.BatchNorm2d(widths[-1])
        self.relu = nn.SiLU()
        self.logits = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of normalized images x (B, 3, 32, 32)."""
        x = self.relu(self.batchnorm(self.layer(self.init_conv(x))))  # (B, 64k, 8, 8)
        logits: Tensor = self.logits(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
