"""The feature maps of a layer on an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from striate._formats import notebook, pictures
from striate._formats.files import save_array_or_picture
from striate._formats.tensors import read_float32
from striate.provenance import Provenance
from striate.v1 import filters_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


@dataclass(frozen=True)
class UnitActivation:
    """How strong one unit is on an image.

    Attributes:
        unit: Its number, from 0.
        value: What units were ordered by: the peak, the mean or the largest magnitude.
        position: (row, column) in the map of its largest activation, or of its largest magnitude
            if that is the order; (0, 0) in linear layers.
        label: The class's name, for the layer "logits", else "".
    """

    unit: int
    value: float
    position: tuple[int, int]
    label: str = ""

    @staticmethod
    def read(message: filters_pb2.UnitActivation) -> UnitActivation:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return UnitActivation(
            message.unit, message.value, (message.row, message.column), message.label
        )


@dataclass(frozen=True, eq=False)
class Activations:
    """The strongest units of a layer on an image, and their feature maps.

    Attributes:
        layer: Name of the layer.
        units: The units, strongest first.
        provenance: Where the maps came from.
        maps: (units, rows, columns), or (units,) in linear layers: of `units` in their order, or of
            the whole layer if that was asked for.
        png: The picture of the maps, a PNG file.
    """

    layer: str
    units: list[UnitActivation] = field(repr=False)
    provenance: Provenance
    maps: NDArray[np.float32] = field(repr=False)
    png: bytes = field(repr=False)

    @staticmethod
    def read(message: filters_pb2.GetActivationsResponse) -> Activations:
        """Reads the message of the contract.

        Args:
            message: The server's message.

        Raises:
            Internal: The tensor does not fit its description.
        """
        return Activations(
            layer=message.layer,
            units=list(map(UnitActivation.read, message.units)),
            provenance=Provenance.read(message.provenance),
            maps=read_float32(message.activations),
            png=message.png,
        )

    @cached_property
    def image(self) -> Image:
        """The maps of `units` as a grid of heat maps (PIL), each in its own range: zero nearly
        black, above it warm, below it cool.
        """
        return pictures.decode(self.png)

    def save(self, path: str | Path) -> Path:
        """Saves the maps to a ".npy" file, and the picture to any other.

        Args:
            path: Where to; the picture takes the format of the ending.

        Returns:
            The path.

        Raises:
            OSError: The file cannot be written.
            InvalidArgument: The path's ending is no known picture format.
        """
        return save_array_or_picture(self.maps, self.png, path)

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        return notebook.figure(self.png, f"{self.layer}: the {len(self.units)} strongest units")
