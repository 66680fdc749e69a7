"""The architectures that torchvision lacks: LeNet-5, the CIFAR ResNets, and the small network
behind the CIFAR twins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al. 1998, section II.B): input (B, 1, 32, 32), tanh, average pooling.

    C3 is fully connected to S2, and a linear layer stands where the paper has radial basis units:
    the two simplifications that later work made standard.
    """

    def __init__(self, classes: int = 10) -> None:
        """Build the network with random weights, for so many classes."""
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.tanh1 = nn.Tanh()
        self.s2 = nn.AvgPool2d(2)
        self.c3 = nn.Conv2d(6, 16, 5)
        self.tanh3 = nn.Tanh()
        self.s4 = nn.AvgPool2d(2)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.tanh5 = nn.Tanh()
        self.f6 = nn.Linear(120, 84)
        self.tanh6 = nn.Tanh()
        self.output = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of normalized images x (B, C, 32, 32)."""
        x = self.s2(self.tanh1(self.c1(x)))  # (B, 6, 14, 14)
        x = self.s4(self.tanh3(self.c3(x)))  # (B, 16, 5, 5)
        x = self.tanh5(self.c5(x)).flatten(1)  # (B, 120)
        logits: Tensor = self.output(self.tanh6(self.f6(x)))
        return logits


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


class ResidualBlock(nn.Module):
    """A basic residual block whose shortcut is a 1x1 convolution where the shape changes (option B
    of the same paper).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        """Build the block, whose first convolution has the stride."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels_out))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, K, h, w) for its input."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        y: Tensor = self.relu2(residual + self.shortcut(x))
        return y


class CifarTwin(nn.Module):
    """The network of `cifar10-plain` and `cifar10-robust`: input (B, 3, 32, 32), 368k parameters.

    Its first layer has 32 filters of 7x7 at stride 1, large enough to show what they look for,
    which the 3x3 stems of most CIFAR networks are not.
    """

    def __init__(self, classes: int = 10) -> None:
        """Build the network with random weights, for so many classes."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 7, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(ResidualBlock(32, 64, 1), ResidualBlock(64, 64, 1))
        self.layer2 = nn.Sequential(ResidualBlock(64, 128, 2))
        self.fc = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of normalized images x (B, C, 32, 32)."""
        x = self.pool(self.relu(self.bn1(self.conv1(x))))  # (B, 32, 16, 16)
        x = self.layer2(self.layer1(x))  # (B, 128, 8, 8)
        logits: Tensor = self.fc(torch.mean(x, (2, 3)))
        return logits
