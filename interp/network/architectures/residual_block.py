"""The residual blocks that several networks are made of."""

from torch import Tensor, nn


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


class BottleneckBlock(nn.Module):
    """A residual block of 1x1, 3x3 and 1x1 convolutions, the last with four times the channels (He
    et al. 2015, section 4.1), whose 3x3 convolution has the stride.
    """

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        """Build the block; it puts out 4 x `width` channels."""
        super().__init__()
        channels_out = self.expansion * width
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels_out))
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, K, h, w) for its input."""
        inner = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))))
        y: Tensor = self.relu3(self.bn3(self.conv3(inner)) + self.shortcut(x))
        return y
