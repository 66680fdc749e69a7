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
    """What one unit prefers.

    orientation: of the bars in degrees, 0 to below 180, 0 for horizontal ones, 90 for vertical
    ones, rising counter-clockwise; wavelength: pixels a period; selectivity: for orientation, 1 -
    circular variance, 0 to 1; response: its highest activation; baseline: its activation on
    mid-gray.
    """

    orientation: float
    wavelength: float
    selectivity: float
    response: float
    baseline: float

    @staticmethod
    def read(message: filters_pb2.UnitTuning) -> UnitTuning:
        return UnitTuning(
            message.orientation,
            message.wavelength,
            message.selectivity,
            message.response,
            message.baseline,
        )


@dataclass(frozen=True, eq=False)
class Tuning:
    """The tuning curves of a layer; tuning[unit] is what a unit prefers, and its length the number
    of units.

    orientations: degrees; wavelengths: pixels; responses: activations (units, wavelengths,
    orientations), the highest over the phases.
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
        """Writes the responses if the path ends in ".npy", else the picture in the format of the
        ending.
        """
        return save_array_or_picture(self.responses, self.png, path)

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        return notebook.figure(
            self.png, f"{self.layer}: unit, preferred wavelength, orientation selectivity"
        )
