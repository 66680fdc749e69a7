"""The images of a data set that show what a unit answers to."""

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
from striate.results.datasets import LeftOutImage
from striate.v1 import exemplars_pb2

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Exemplar:
    """One image for a unit.

    Name, label and pictures are left out where exemplars were asked for without images.

    Attributes:
        id: The image's position in the data set.
        name: Its name in the data set.
        activation: The unit's activation on it by the order that was asked for: the largest, the
            smallest, the mean, or that of the largest magnitude; with its sign, also for "neg(...)"
            and "abs(...)".
        position: Where that is, (row, column) in the layer's map; (0, 0) for means and in linear
            layers.
        box: The receptive field there as PIL counts boxes, (left, upper, right, lower) in pixels of
            `image`; all of it for means.
        label: The data set's own label, None without.
        label_name: The label's name, "" without.
        image_png: The image as the network saw it, a PNG file.
        crop_png: The part of it inside the receptive field, a PNG file.
        quantile: Share of the other images whose maximum is lower, 0 to 1; None unless quantiles
            were asked for.
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
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
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
            quantile=message.quantile if message.HasField("quantile") else None,
        )

    @cached_property
    def image(self) -> Image:
        """The image as the network saw it (PIL).

        Raises:
            InvalidArgument: The exemplars were asked for without images; likewise `crop`.
        """
        return pictures.decode(_required(self.image_png))

    @cached_property
    def crop(self) -> Image:
        """The part of it inside the unit's receptive field (PIL)."""
        return pictures.decode(_required(self.crop_png))

    def save(self, path: str | Path) -> Path:
        """Saves the whole image.

        Args:
            path: Where to; the image takes the format of the ending, PNG without one.

        Returns:
            The path.

        Raises:
            OSError: The file cannot be written.
            InvalidArgument: The path's ending is no known picture format, or the exemplars were
                asked for without images.
        """
        return write_picture(_required(self.image_png), path)

    def _repr_png_(self) -> bytes | None:
        return self.crop_png or None

    def _repr_html_(self) -> str:
        below = "" if self.quantile is None else f"{self.quantile:.4g} of images below, "
        caption = f"{below}{self.label_name or self.name or self.id}: {self.activation:.4g}"
        if not self.image_png:
            return f"<p>{html.escape(caption)}</p>"
        return notebook.figure(self.image_png, caption) + notebook.figure(self.crop_png, "crop")


def _required(png: bytes) -> bytes:
    """The picture. Raises InvalidArgument if it was left out."""
    if not png:
        raise invalid("images", "was False, so that there are no pictures: ask again")
    return png


class Exemplars(list[Exemplar]):
    """The exemplars of one unit, in the order that was asked for.

    Attributes:
        unit: The unit in full, "layer:unit" with the layer's dotted name.
        images: Number of the data set's images that they are the best of.
        provenance: Where they came from.
        images_left_out: How many others the index leaves out, because they cannot be used.
        left_out: Exemplars that are missing because their images cannot be used any more.
    """

    def __init__(
        self,
        items: Iterable[Exemplar],
        unit: str,
        images: int,
        provenance: Provenance,
        images_left_out: int = 0,
        left_out: Iterable[LeftOutImage] = (),
    ) -> None:
        super().__init__(items)
        self.unit = unit
        self.images = images
        self.provenance = provenance
        self.images_left_out = images_left_out
        self.left_out = tuple(left_out)

    @staticmethod
    def read(message: exemplars_pb2.FindExemplarsResponse) -> Exemplars:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return Exemplars(
            map(Exemplar.read, message.exemplars),
            message.unit,
            message.images,
            Provenance.read(message.provenance),
            message.images_left_out,
            map(LeftOutImage.read, message.left_out),
        )

    @property
    def image(self) -> Image:
        """All crops in one picture (PIL), in order.

        Raises:
            InvalidArgument: The exemplars were asked for without images.
        """
        return pictures.grid([exemplar.crop for exemplar in self], columns=3)

    def save(self, folder: str | Path) -> list[Path]:
        """Saves grid.png and, in order of rank, each image and crop.

        Args:
            folder: Where to; it is made if it is missing.

        Returns:
            The paths of the files.

        Raises:
            OSError: A file cannot be written.
            InvalidArgument: The exemplars were asked for without images.
        """
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
