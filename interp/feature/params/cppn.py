"""Pictures as compositional pattern-producing networks: smooth at every size, and often strange."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from interp.seeds import Generators, normal

_MEAN, _SPREAD = (
    0.45,
    0.396,
    # mean and standard deviation of arctan(x)^2 for a standard normal x; arctan(x) has the mean 0
    # and
)
_SIZE = 0.67  # this standard deviation
# Of weights to z: Adam's steps are so much shorter in the weights than in z. With the learning rate
# of the other spaces they are then 0.0025; with 0.01 pictures turn into flat patches.
_SCALE = 0.025


def composite(x: Tensor) -> Tensor:
    """arctan x and its square, (B, K, N) -> (B, 2 K, N), each with mean 0 and deviation 1 where x
    is standard normal (lucid).
    """
    bent = x.atan()
    return torch.cat([bent / _SIZE, (bent.square() - _MEAN) / _SPREAD], 1)


@dataclass(frozen=True)
class Cppn:
    """Pictures painted by a small network from coordinates to colours (Stanley 2007), one network a
    row (Mordvintsev et al. 2018).

    z (B, P) holds all weights and biases of a row's network, layer by layer, forty times as large
    as they are applied.

    Args:
        shape: (C, H, W) of the picture.
        like: tensor whose dtype and device z takes.
        depth: hidden layers, at least 1.
        width: units of each.
    """

    shape: tuple[int, int, int]
    like: Tensor
    depth: int = 8
    width: int = 24

    @property
    def _layers(self) -> list[tuple[int, int]]:
        """(outputs, inputs) of each linear layer; the activation doubles the outputs."""
        hidden = [
            (self.width, 2 if number == 0 else 2 * self.width) for number in range(self.depth)
        ]
        return [*hidden, (self.shape[0], 2 * self.width)]

    @property
    def z_shape(self) -> tuple[int, ...]:
        """(P,)."""
        return (sum(out * (into + 1) for out, into in self._layers),)

    @cached_property
    def _coordinates(self) -> Tensor:
        """Row and column of each pixel, (1, 2, H * W), from -sqrt 3 to sqrt 3 along the longer
        side: a variance of 1.
        """
        _, height, width = self.shape
        reach = 3**0.5 / max(height, width)
        sides = [
            torch.linspace(-reach * n, reach * n, n, dtype=torch.float64) for n in (height, width)
        ]
        places: Tensor = (
            torch.stack(torch.meshgrid(*sides, indexing="ij")).reshape(1, 2, -1).to(self.like)
        )
        return places

    def start(self, rows: Generators) -> Tensor:
        """Normal weights of variance 1 / inputs and no biases; the last layer begins at 0, which is
        gray.
        """
        z = normal(rows, self.z_shape, self.like) / _SCALE
        for (weight, bias), (_, into) in zip(self._parts(z), self._layers, strict=True):
            weight.div_(into**0.5)
            bias.zero_()
        weight.zero_()
        return z

    def _parts(self, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Weights (B, outputs, inputs) and biases (B, outputs, 1) of each layer, as views of z."""
        for (out, into), part in zip(
            self._layers,
            torch.split(z, [out * (into + 1) for out, into in self._layers], 1),
            strict=True,
        ):
            yield part[:, : out * into].view(-1, out, into), part[:, out * into :].view(-1, out, 1)

    def image(self, z: Tensor) -> Tensor:
        """(B, C, H, W) in (0, 1)."""
        x = self._coordinates.expand(len(z), -1, -1)  # (B, 2, H * W)
        for number, (weight, bias) in enumerate(self._parts(z * _SCALE)):
            x = torch.baddbmm(bias, weight, composite(x) if number else x)
        return x.sigmoid().view(-1, *self.shape)

    def project(self, z: Tensor) -> Tensor:
        """z itself."""
        return z

    def encode(self, images: Tensor) -> Tensor:
        """Raises ValueError: which network paints an image is not known."""
        raise ValueError("a CPPN cannot begin at an image")
