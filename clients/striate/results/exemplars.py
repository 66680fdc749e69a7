"""The images that show what a unit answers to."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from striate._formats import notebook, pictures
from striate._formats.files import write_picture
from striate.errors import invalid
from striate.provenance import Provenance
from striate.results.unit_statistics import share
from striate.v1 import exemplars_pb2

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Exemplar:
    """One image for a unit.

    id, name: the image's position and name in the data set; activation: the unit's on it by the
    order asked for, the largest, the smallest, the mean or that of the largest magnitude; position:
    where, (row, column) in the layer's map, (0, 0) for means and linear layers; box: the receptive
    field there as PIL counts boxes, (left, upper, right, lower) in pixels of `image`, all of it for
    means; label, label_name: the data set's, None and "" without; quantile: the share of the other
    images whose maximum is below, where quantiles were asked for. Asked for without images, name,
    label and pictures are left out.
    """

    id: int
    name: str
    activation: float
    position: tuple[int, int]
    box: tuple[int, int, int, int]
    label: int | None
    label_name: str
    image_png: bytes = field(repr=False)
    crop_png: bytes = field(repr=False)
    quantile: float | None = None

    @staticmethod
    def read(message: exemplars_pb2.Exemplar) -> Exemplar:
        left, top = message.crop_left, message.crop_top
        return Exemplar(
            id=message.id,
            name=message.name,
            activation=message.activation,
            position=(message.row, message.column),
            box=(left, top, left + message.crop_width, top + message.crop_height),
            label=message.label if message.HasField("label") else None,
            label_name=message.label_name,
            image_png=message.image_png,
            crop_png=message.crop_png,
            quantile=share(message.quantile) if message.HasField("quantile") else None,
        )

    @cached_property
    def image(self) -> Image:
        """The image as the network saw it (PIL)."""
        return pictures.decode(_given(self.image_png))

    @cached_property
    def crop(self) -> Image:
        """The part of it inside the unit's receptive field (PIL)."""
        return pictures.decode(_given(self.crop_png))

    def save(self, path: str | Path) -> Path:
        """Writes the whole image, in the format of the path's ending (PNG without one)."""
        return write_picture(_given(self.image_png), path)

    def _repr_png_(self) -> bytes | None:
        return self.crop_png or None

    def _repr_html_(self) -> str:
        below = "" if self.quantile is None else f"{self.quantile:.4g} of images below, "
        caption = f"{below}{self.label_name or self.name or self.id}: {self.activation:.4g}"
        if not self.image_png:
            return f"<p>{html.escape(caption)}</p>"
        return notebook.figure(self.image_png, caption) + notebook.figure(self.crop_png, "crop")


def _given(png: bytes) -> bytes:
    if not png:
        raise invalid("images", "was False, so that there are no pictures: ask again")
    return png


class Exemplars(list[Exemplar]):
    """The exemplars of one unit, in the order that was asked for.

    unit: in full, with the layer's dotted name; images: how many images of the data set they are
    the best of.
    """

    def __init__(
        self, items: Iterable[Exemplar], unit: str, images: int, provenance: Provenance
    ) -> None:
        super().__init__(items)
        self.unit = unit
        self.images = images
        self.provenance = provenance

    @staticmethod
    def read(message: exemplars_pb2.FindExemplarsResponse) -> Exemplars:
        return Exemplars(
            map(Exemplar.read, message.exemplars),
            message.unit,
            message.images,
            Provenance.read(message.provenance),
        )

    @property
    def image(self) -> Image:
        """All crops in one picture (PIL), in order."""
        return pictures.grid([exemplar.crop for exemplar in self], columns=3)

    def save(self, folder: str | Path) -> list[Path]:
        """Writes grid.png and, in order of rank, each image and crop into the folder."""
        folder = Path(folder)
        paths = [write_picture(pictures.encode_png(self.image), folder / "grid.png")]
        for rank, exemplar in enumerate(self):
            paths.append(exemplar.save(folder / f"{rank:02}-{exemplar.id}.png"))
            paths.append(
                write_picture(exemplar.crop_png, folder / f"{rank:02}-{exemplar.id}-crop.png")
            )
        return paths

    def _repr_png_(self) -> bytes | None:
        return (
            pictures.encode_png(self.image) if all(exemplar.crop_png for exemplar in self) else None
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.unit)}</p>" + "".join(
            exemplar._repr_html_() for exemplar in self
        )
