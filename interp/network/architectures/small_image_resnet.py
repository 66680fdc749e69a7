"""ImageNet's ResNets with a stem for images of 32 x 32."""

from torch import Tensor, nn

from interp.network.architectures.residual_block import BottleneckBlock, ResidualBlock

_BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
}


class SmallImageResNet(nn.Module):
    """A ResNet of ImageNet's widths (He et al. 2015, table 1) with a 3x3 stem of stride 1 and no
    pooling, under the names of tensors that most CIFAR code has: input (B, 3, 32, 32).
    """

    def __init__(self, depth: int, classes: int = 10) -> None:
        """Build the network with random weights.

        Args:
            depth: 18, 34 or 50.
            classes: number of logits.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        is_deep = depth >= 50
        channels, stages = 64, []
        for stage, blocks in enumerate(_BLOCKS[depth]):
            width = 64 * 2**stage
            layers: list[nn.Module] = []
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                make = BottleneckBlock if is_deep else ResidualBlock
                layers.append(make(channels, width, stride))
                channels = width * BottleneckBlock.expansion if is_deep else width
            stages.append(nn.Sequential(*layers))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of normalized images x (B, 3, 32, 32)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, K, 4, 4)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits
