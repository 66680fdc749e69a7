"""The different things that one unit sees."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from striate._formats import notebook, pictures
from striate._formats.files import write_picture
from striate.provenance import Provenance
from striate.results.visualization import Visualization
from striate.v1 import visualize_pb2

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Facet:
    """One of the things that a unit sees.

    Attributes:
        share: Share of the exemplars that belong to it, 0 to 1.
        ids: Their positions in the data set, strongest first.
        visualization: A picture whose optimization started from their mean image.
        crop_pngs: The receptive-field crops of up to 4 of them, strongest first, PNG files.
    """

    share: float
    ids: tuple[int, ...]
    visualization: Visualization
    crop_pngs: tuple[bytes, ...] = field(repr=False)

    @staticmethod
    def read(message: visualize_pb2.Facet, provenance: Provenance) -> Facet:
        """Reads the message of the contract."""
        return Facet(
            message.share,
            tuple(message.ids),
            Visualization.read(message.visualization, provenance),
            tuple(message.crops),
        )

    @cached_property
    def crops(self) -> tuple[Image, ...]:
        """The crops, decoded (PIL)."""
        return tuple(map(pictures.decode, self.crop_pngs))

    def _repr_png_(self) -> bytes:
        return self.visualization.png

    def _repr_html_(self) -> str:
        crops = "".join(notebook.figure(png, "crop") for png in self.crop_pngs)
        return (
            f"<div><p>{self.share:.0%} of the "
            f"exemplars</p>{self.visualization._repr_html_()}{crops}</div>"
        )


class Facets(list[Facet]):
    """The facets of a unit, largest first.

    Attributes:
        unit: The unit as it was asked for, "layer:unit".
        by_layer: Name of the layer whose activations were clustered.
        silhouette: Mean silhouette of the clustering, -1 to 1; 0 for one facet.
        provenance: Where they came from.
    """

    def __init__(
        self,
        items: Iterable[Facet],
        unit: str,
        by_layer: str,
        silhouette: float,
        provenance: Provenance,
    ) -> None:
        super().__init__(items)
        self.unit = unit
        self.by_layer = by_layer
        self.silhouette = silhouette
        self.provenance = provenance

    @staticmethod
    def read(message: visualize_pb2.FindFacetsResponse, unit: str) -> Facets:
        """Reads the message of the contract."""
        provenance = Provenance.read(message.provenance)
        items = [Facet.read(facet, provenance) for facet in message.facets]
        return Facets(items, unit, message.by_layer, message.silhouette, provenance)

    def save(self, folder: str | Path) -> list[Path]:
        """Saves each facet's picture and crops: facet-0.png, facet-0-crop-0.png, ...

        Args:
            folder: Where to; it is made if it is missing.

        Returns:
            The paths of the files.

        Raises:
            OSError: A file cannot be written.
        """
        paths: list[Path] = []
        for index, facet in enumerate(self):
            paths.append(facet.visualization.save(Path(folder) / f"facet-{index}.png"))
            crops = enumerate(facet.crop_pngs)
            paths += [
                write_picture(png, Path(folder) / f"facet-{index}-crop-{number}.png")
                for number, png in crops
            ]
        return paths

    def _repr_html_(self) -> str:
        head = (
            f"<p>{html.escape(self.unit)} by {html.escape(self.by_layer)}, silhouette "
            f"{self.silhouette:.2f}</p>"
        )
        return head + "".join(facet._repr_html_() for facet in self)
