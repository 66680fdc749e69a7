"""What the server says about its data sets, and single images of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from striate._formats import pictures
from striate.v1 import interpret_pb2

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class DatasetInfo:
    """A data set of the server. size: images; classes: names by label; class_indices: per label the
    index of the model's class of that name, or -1, if a model was named; indexed_layers: layers
    with an exemplar index of that model; error: why nothing of this is known (it cannot be read, or
    would first have to be downloaded), else empty.
    """

    name: str
    uri: str
    size: int
    classes: tuple[str, ...] = field(repr=False)
    labelled: bool
    class_indices: tuple[int, ...] = field(repr=False)
    indexed_layers: tuple[str, ...]
    error: str = ""

    @staticmethod
    def read(message: interpret_pb2.Dataset) -> DatasetInfo:
        return DatasetInfo(
            name=message.name,
            uri=message.uri,
            size=message.size,
            classes=tuple(message.classes),
            labelled=message.labelled,
            class_indices=tuple(message.class_indices),
            indexed_layers=tuple(message.indexed_layers),
            error=message.error,
        )


@dataclass(frozen=True)
class Sample:
    """One image of a data set. id: position in it, from 0; encoded: the image file; label: the data
    set's own, None without.
    """

    id: int
    name: str
    label: int | None
    encoded: bytes = field(repr=False)

    @cached_property
    def image(self) -> Image:
        """The image (PIL)."""
        return pictures.decode(self.encoded)

    def _repr_png_(self) -> bytes:
        return pictures.encode_png(self.image)

    @staticmethod
    def read(message: interpret_pb2.Sample) -> Sample:
        return Sample(
            message.id,
            message.name,
            message.label if message.HasField("label") else None,
            message.image,
        )
