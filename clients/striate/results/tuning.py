"""How units answer to gratings."""

from __future__ import annotations

from collections.abc import Iterator
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
class UnitTuning:
    """The grating that one unit prefers.

    Attributes:
        orientation: That of the bars in degrees, 0 to below 180: 0 for horizontal ones, 90 for
            vertical ones, rising counter-clockwise.
        wavelength: Pixels a period.
        selectivity: Orientation selectivity, 1 - circular variance, 0 to 1.
        response: The unit's highest activation on any grating.
        baseline: Its activation on mid-gray.
    """

    orientation: float
    wavelength: float
    selectivity: float
    response: float
    baseline: float

    @staticmethod
    def read(message: filters_pb2.UnitTuning) -> UnitTuning:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return UnitTuning(
            message.orientation,
            message.wavelength,
            message.selectivity,
            message.response,
            message.baseline,
        )


@dataclass(frozen=True, eq=False)
class Tuning:
    """The tuning curves of a layer: a sequence of one UnitTuning a unit.

    Attributes:
        layer: Name of the layer.
        orientations: Orientations of the gratings in degrees.
        wavelengths: Their wavelengths in pixels a period.
        units: What each unit prefers, in order.
        provenance: Where the curves came from.
        responses: (units, wavelengths, orientations) activations, each the highest over the phases.
        png: The picture of the curves, a PNG file.
    """

    layer: str
    orientations: tuple[float, ...]
    wavelengths: tuple[float, ...]
    units: tuple[UnitTuning, ...] = field(repr=False)
    provenance: Provenance
    responses: NDArray[np.float32] = field(repr=False)
    png: bytes = field(repr=False)

    @staticmethod
    def read(message: filters_pb2.MeasureTuningResponse) -> Tuning:
        """Reads the message of the contract.

        Args:
            message: The server's message.

        Raises:
            Internal: The tensor does not fit its description.
        """
        return Tuning(
            layer=message.layer,
            orientations=tuple(message.orientations),
            wavelengths=tuple(message.wavelengths),
            units=tuple(map(UnitTuning.read, message.units)),
            provenance=Provenance.read(message.provenance),
            responses=read_float32(message.responses),
            png=message.png,
        )

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, unit: int) -> UnitTuning:
        return self.units[unit]

    def __iter__(self) -> Iterator[UnitTuning]:
        return iter(self.units)

    @cached_property
    def image(self) -> Image:
        """The polar curves of the first 64 units (PIL): the preferred wavelength bold, a line for
        orientation and selectivity.
        """
        return pictures.decode(self.png)

    def save(self, path: str | Path) -> Path:
        """Saves the responses to a ".npy" file, and the picture to any other.

        Args:
            path: Where to; the picture takes the format of the ending.

        Returns:
            The path.

        Raises:
            OSError: The file cannot be written.
            InvalidArgument: The path's ending is no known picture format.
        """
        return save_array_or_picture(self.responses, self.png, path)

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        return notebook.figure(
            self.png, f"{self.layer}: unit, preferred wavelength, orientation selectivity"
        )
