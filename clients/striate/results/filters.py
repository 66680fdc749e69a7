"""The weights of a convolution, their picture, and what they look like in numbers."""

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
class FilterAnalysis:
    """What one filter looks like: the Gabor function nearest to its strongest component of one
    colour, its colours, and its spectrum.

    Pixels are those of the layer's input, which is the image for a first layer. A filter that was
    not fitted has wavelength 0.

    Attributes:
        orientation: That of the bars in degrees, 0 to below 180: 0 for horizontal ones, 90 for
            vertical ones, rising counter-clockwise.
        wavelength: Pixels a period.
        phase: That of the cosine at the centre in degrees: 0 or -180 for a bar, 90 or -90 for an
            edge.
        sigma: Standard deviations of the envelope in pixels, (across, along) the bars.
        center: (row, column) of the envelope in pixels.
        r_squared: Share of the variance that the fit explains.
        color_share: Share of the energy that is colour, 0 to 1.
        opponency: Colour opponency, 0 to 1; 1 for exactly opposite colours.
        hue: That of the strongest colour in degrees: 0 red, 120 green, 240 blue.
        peak_orientation: Orientation at which the amplitude spectrum is highest, in degrees; 0 at
            frequency zero.
        peak_wavelength: Wavelength at which it is highest, in pixels; 0 at frequency zero.
        orientation_determined: Whether the filter determines its orientation: no Gabor function
            that is turned by more than 22.5 degrees explains as much of it. False for blobs.
    """

    orientation: float
    wavelength: float
    phase: float
    sigma: tuple[float, float]
    center: tuple[float, float]
    r_squared: float
    color_share: float
    opponency: float
    hue: float
    peak_orientation: float
    peak_wavelength: float
    orientation_determined: bool

    @staticmethod
    def read(message: filters_pb2.FilterAnalysis) -> FilterAnalysis:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return FilterAnalysis(
            orientation=message.orientation,
            wavelength=message.wavelength,
            phase=message.phase,
            sigma=(message.sigma_across, message.sigma_along),
            center=(message.center_row, message.center_column),
            r_squared=message.r_squared,
            color_share=message.color_share,
            opponency=message.opponency,
            hue=message.hue,
            peak_orientation=message.peak_orientation,
            peak_wavelength=message.peak_wavelength,
            orientation_determined=message.orientation_determined,
        )


@dataclass(frozen=True, eq=False)
class Filters:
    """The weights of a convolution, and their picture.

    Attributes:
        layer: Name of the layer.
        normalization: How weights became pixels, in words.
        provenance: Where the weights came from.
        weights: (out channels, in channels / groups, rows, columns), exactly as stored.
        png: The picture of the filters, a PNG file.
        order: The channels in the order of the picture's tiles.
        analyses: One analysis a filter in channel order; empty if they were not asked for.
        spectra_png: The picture of the amplitude spectra, a PNG file; empty if it was not asked
            for.
    """

    layer: str
    normalization: str
    provenance: Provenance
    weights: NDArray[np.float32] = field(repr=False)
    png: bytes = field(repr=False)
    order: tuple[int, ...] = field(default=(), repr=False)
    analyses: tuple[FilterAnalysis, ...] = field(default=(), repr=False)
    spectra_png: bytes = field(default=b"", repr=False)

    @staticmethod
    def read(message: filters_pb2.RenderFiltersResponse) -> Filters:
        """Reads the message of the contract.

        Args:
            message: The server's message.

        Raises:
            Internal: The tensor does not fit its description.
        """
        return Filters(
            layer=message.layer,
            normalization=message.normalization,
            provenance=Provenance.read(message.provenance),
            weights=read_float32(message.weights),
            png=message.png,
            order=tuple(message.order),
            analyses=tuple(map(FilterAnalysis.read, message.analyses)),
            spectra_png=message.spectra_png,
        )

    @cached_property
    def image(self) -> Image:
        """The grid of filters (PIL)."""
        return pictures.decode(self.png)

    @cached_property
    def spectra(self) -> Image | None:
        """The grid of the filters' amplitude spectra (PIL), frequency zero in the middle of each;
        None if it was not asked for.
        """
        return pictures.decode(self.spectra_png) if self.spectra_png else None

    def save(self, path: str | Path) -> Path:
        """Saves the weights to a ".npy" file, and the picture to any other.

        Args:
            path: Where to; the picture takes the format of the ending.

        Returns:
            The path.

        Raises:
            OSError: The file cannot be written.
            InvalidArgument: The path's ending is no known picture format.
        """
        return save_array_or_picture(self.weights, self.png, path)

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        figure = notebook.figure(self.png, f"{self.layer}: {self.normalization}")
        return (
            figure + notebook.figure(self.spectra_png, f"{self.layer}: amplitude spectra")
            if self.spectra_png
            else figure
        )
