"""LeNet-5."""

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
