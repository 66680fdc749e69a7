"""The small network behind the CIFAR twins."""

import torch
from torch import Tensor, nn

from interp.network.architectures.residual_block import ResidualBlock


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
