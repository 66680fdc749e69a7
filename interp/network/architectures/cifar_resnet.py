"""The CIFAR ResNets of He et al. 2015."""

import torch.nn.functional as F
from torch import Tensor, nn


class CifarBlock(nn.Module):
    """A basic residual block with the parameter-free shortcut (He et al. 2015, section 3.3, option
    A).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        """Build the block, whose first convolution has the stride."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.stride = stride
        self.pad = (channels_out - channels_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, K, h, w) for its input."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pad:  # the shortcut subsamples, and zeros stand for the new channels
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(residual + x)


class CifarResNet(nn.Module):
    """The CIFAR ResNet of depth 6n + 2 (He et al. 2015, section 4.2): input (B, 3, 32, 32)."""

    def __init__(self, depth: int, classes: int = 10) -> None:
        """Build the network with random weights.

        Args:
            depth: 6n + 2 for n blocks a stage, e.g. 20.
            classes: number of logits.

        Raises:
            ValueError: the depth is not 6n + 2.
        """
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth {depth} is not 6n + 2")
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, stride=1)
        self.layer2 = self._stage(16, 32, blocks, stride=2)
        self.layer3 = self._stage(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
        first = CifarBlock(channels_in, channels_out, stride)
        return nn.Sequential(
            first, *(CifarBlock(channels_out, channels_out, 1) for _ in range(blocks - 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of normalized images x (B, C, 32, 32)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))  # (B, 64, 8, 8)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits
