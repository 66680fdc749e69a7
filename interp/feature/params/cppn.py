"""Pictures as compositional pattern-producing networks: smooth at every size, and often strange."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from interp.feature.params.base import ParameterizationSpec
from interp.seeds import Generators, normal

# For a standard normal x: mean and standard deviation of arctan(x)^2, and the standard deviation of
# arctan(x), whose mean is 0.
_SQUARE_MEAN, _SQUARE_DEVIATION, _DEVIATION = 0.45, 0.396, 0.67
# Of weights to z: Adam's steps are so much shorter in the weights than in z. With the learning rate
# of the other parameterizations they are then 0.0025; with 0.01 pictures turn into flat patches.
_SCALE = 0.025
# Of a hidden unit: its values before and after its two activations, and their gradients.
_PLANES_PER_UNIT = 6


def composite_activation(x: Tensor) -> Tensor:
    """Return arctan x and its square, standardized (lucid, "composite_activation").

    Args:
        x: (B, K, N).

    Returns:
        (B, 2 K, N), each with mean 0 and standard deviation 1 where x is standard normal.
    """
    arctan = x.atan()
    square = (arctan.square() - _SQUARE_MEAN) / _SQUARE_DEVIATION
    return torch.cat([arctan / _DEVIATION, square], 1)


@dataclass(frozen=True)
class Cppn:
    """Pictures painted by a small network from coordinates to colours (Stanley 2007), one network a
    row (Mordvintsev et al. 2018).

    z (B, P) holds all weights and biases of a row's network, layer by layer, forty times as large
    as they are applied.

    Args:
        shape: (C, H, W) of the picture.
        like: a tensor of the dtype and the device that z takes.
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
        """(P,): the number of weights and biases."""
        return (sum(outputs * (inputs + 1) for outputs, inputs in self._layers),)

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
        grid: Tensor = (
            torch.stack(torch.meshgrid(*sides, indexing="ij")).reshape(1, 2, -1).to(self.like)
        )
        return grid

    def start(self, rows: Generators) -> Tensor:
        """Draw normal weights of variance 1 / inputs and no biases, (B, P); the last layer starts
        at 0, which is gray.
        """
        z = normal(rows, self.z_shape, self.like) / _SCALE
        for (weight, bias), (_, inputs) in zip(self._parameters(z), self._layers, strict=True):
            weight.div_(inputs**0.5)
            bias.zero_()
        weight.zero_()
        return z

    def _parameters(self, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Weights (B, outputs, inputs) and biases (B, outputs, 1) of each layer, as views of z."""
        sizes = [outputs * (inputs + 1) for outputs, inputs in self._layers]
        for (outputs, inputs), part in zip(self._layers, torch.split(z, sizes, 1), strict=True):
            weight, bias = part[:, : outputs * inputs], part[:, outputs * inputs :]
            yield weight.view(-1, outputs, inputs), bias.view(-1, outputs, 1)

    def image(self, z: Tensor) -> Tensor:
        """Draw the pictures (B, C, H, W) in (0, 1) of z (B, P)."""
        x = self._coordinates.expand(len(z), -1, -1)  # (B, 2, H * W)
        for number, (weight, bias) in enumerate(self._parameters(z * _SCALE)):
            x = torch.baddbmm(bias, weight, composite_activation(x) if number else x)
        return x.sigmoid().view(-1, *self.shape)

    def project(self, z: Tensor) -> Tensor:
        """Return z itself: all weights are feasible."""
        return z

    def including(self, images: Tensor) -> "Cppn":
        """Return the parameterization itself."""
        return self

    def encode(self, images: Tensor) -> Tensor:
        """Raise ValueError: which network paints an image is not known.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a CPPN cannot begin at an image")


@dataclass(frozen=True)
class CppnSpec(ParameterizationSpec):
    """Pictures as compositional pattern-producing networks.

    Args:
        depth: hidden layers, 1 to 16.
        width: units of each, 1 to 64.
    """

    depth: int = 8
    width: int = 24
    name: ClassVar[str] = "cppn"
    encodes: ClassVar[bool] = False

    def build(self, shape: tuple[int, int, int], like: Tensor) -> Cppn:
        """Make the networks of pictures of this shape, see `ParameterizationSpec.build`."""
        return Cppn(shape, like, self.depth, self.width)

    @property
    def hidden_planes(self) -> int:
        """Planes (H, W) of float32 of the hidden units' values and gradients."""
        return _PLANES_PER_UNIT * self.depth * self.width
