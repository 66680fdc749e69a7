"""The pre-activation ResNet-18 for images of 32 x 32."""

from torch import Tensor, nn


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each behind batch norm and rectifier (He et al. 2016, "Identity
    mappings in deep residual networks", figure 4e).
    """

    def __init__(
        self, channels_in: int, channels_out: int, stride: int, raw_shortcut: bool
    ) -> None:
        """Build the block.

        Args:
            channels_in, channels_out: numbers of channels.
            stride: of the first convolution, and of the shortcut's.
            raw_shortcut: the shortcut's convolution, where there is one, sees the block's input as
                it is; else behind batch norm and rectifier.
        """
        super().__init__()
        self.raw_shortcut = raw_shortcut
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False))
            if stride != 1 or channels_in != channels_out
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (B, K, h, w) for its input."""
        active = self.relu1(self.bn1(x))
        residual: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        if self.shortcut is None:
            return residual + x
        shortcut: Tensor = self.shortcut(x if self.raw_shortcut else active)
        return residual + shortcut


class PreActResNet18(nn.Module):
    """The pre-activation ResNet-18 under the names of tensors that most CIFAR code has: input (B,
    3, 32, 32).

    Published networks differ in what their weights do not tell: whether the shortcuts see rectified
    maps, and whether batch norm and rectifier stand before the last layer.
    """

    def __init__(
        self, classes: int = 10, *, last_norm: bool = True, raw_shortcut: bool = False
    ) -> None:
        """Build the network with random weights.

        Args:
            classes: number of logits.
            last_norm: batch norm and a rectifier stand before the pooling.
            raw_shortcut: see `PreActBlock`.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.layer1 = self._stage(64, 64, 1, raw_shortcut)
        self.layer2 = self._stage(64, 128, 2, raw_shortcut)
        self.layer3 = self._stage(128, 256, 2, raw_shortcut)
        self.layer4 = self._stage(256, 512, 2, raw_shortcut)
        self.bn = nn.BatchNorm2d(512) if last_norm else None
        self.relu = nn.ReLU()
        self.linear = nn.Linear(512, classes)

    @staticmethod
    def _stage(channels_in: int, channels_out: int, stride: int, raw: bool) -> nn.Sequential:
        return nn.Sequential(
            PreActBlock(channels_in, channels_out, stride, raw),
            PreActBlock(channels_out, channels_out, 1, raw),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of normalized images x (B, 3, 32, 32)."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))  # (B, 512, 4, 4)
        if self.bn is not None:
            x = self.relu(self.bn(x))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits
