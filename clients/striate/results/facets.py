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
    """One of the things that a unit sees. share: of the exemplars that are of it, 0 to 1; ids:
    theirs in the data set, strongest first; visualization: begun at their mean; crop_pngs: the
    receptive-field crops of up to 4 of them, strongest first.
    """

    share: float
    ids: tuple[int, ...]
    visualization: Visualization
    crop_pngs: tuple[bytes, ...] = field(repr=False)

    @staticmethod
    def read(message: visualize_pb2.Facet, provenance: Provenance) -> Facet:
        return Facet(
            message.share,
            tuple(message.ids),
            Visualization.read(message.visualization, provenance),
            tuple(message.crops),
        )

    @cached_property
    def crops(self) -> tuple[Image, ...]:
        """The crops (PIL)."""
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
    """The facets of a unit, largest first. by_layer: whose activations were clustered; silhouette:
    mean of the clustering, -1 to 1, 0 for one facet.
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
        provenance = Provenance.read(message.provenance)
        items = [Facet.read(facet, provenance) for facet in message.facets]
        return Facets(items, unit, message.by_layer, message.silhouette, provenance)

    def save(self, folder: str | Path) -> list[Path]:
        """Writes, for each facet in order, its picture and crops into the folder: facet-0.png,
        facet-0-crop-0.png, ...
        """
        paths: list[Path] = []
        for place, facet in enumerate(self):
            paths.append(facet.visualization.save(Path(folder) / f"facet-{place}.png"))
            crops = enumerate(facet.crop_pngs)
            paths += [
                write_picture(png, Path(folder) / f"facet-{place}-crop-{number}.png")
                for number, png in crops
            ]
        return paths

    def _repr_html_(self) -> str:
        head = (
            f"<p>{html.escape(self.unit)} by {html.escape(self.by_layer)}, silhouette "
            f"{self.silhouette:.2f}</p>"
        )
        return head + "".join(facet._repr_html_() for facet in self)
