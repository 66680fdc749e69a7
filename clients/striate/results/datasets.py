"""What the server says about its data sets, and single images of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from striate._formats import pictures
from striate._formats.columns import Columns
from striate.errors import BadImage
from striate.v1 import interpret_pb2, types_pb2

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class LeftOutImage:
    """An image of a data set that could not be used, and was left out.

    Attributes:
        id: Its number in the data set.
        name: Its name there, "" if unknown.
        reason: Why it could not be used.
    """

    id: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.id} {self.name}: {self.reason}"

    @staticmethod
    def read(message: types_pb2.LeftOutImage) -> LeftOutImage:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return LeftOutImage(message.id, message.name, message.reason)


@dataclass(frozen=True)
class DatasetInfo:
    """A data set of the server.

    Attributes:
        name: What requests call it.
        uri: Where it is read from, e.g. "imagefolder:/data/birds".
        size: Number of images.
        classes: Class names by label.
        labelled: Whether its images have labels.
        class_indices: For each label the index of the model's class of the same name, -1 for none;
            empty if no model was named.
        indexed_layers: Layers with an exemplar index; empty if no model was named.
        error: Why nothing of this is known (the data set cannot be read, or would first have to be
            downloaded), else "".
        stored_bytes: Bytes of the server's disk that an upload takes; 0 for others.
        owner: Name of who uploaded it; "" for others, and where the server asks for no keys.
        share: Callers and roles with whom its owner shares it.
        built_by: For each of `indexed_layers` who built the index; "" where the server asked for no
            keys.
    """

    name: str
    uri: str
    size: int
    classes: tuple[str, ...] = field(repr=False)
    labelled: bool
    class_indices: tuple[int, ...] = field(repr=False)
    indexed_layers: tuple[str, ...]
    error: str = ""
    stored_bytes: int = 0
    owner: str = ""
    share: tuple[str, ...] = ()
    built_by: tuple[str, ...] = ()

    @staticmethod
    def read(message: interpret_pb2.Dataset) -> DatasetInfo:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return DatasetInfo(
            name=message.name,
            uri=message.uri,
            size=message.size,
            classes=tuple(message.classes),
            labelled=message.labelled,
            class_indices=tuple(message.class_indices),
            indexed_layers=tuple(message.indexed_layers),
            error=message.error,
            stored_bytes=message.stored_bytes,
            owner=message.owner,
            share=tuple(message.share),
            built_by=tuple(index.built_by for index in message.indexes),
        )


@dataclass(frozen=True)
class Sample:
    """One image of a data set.

    Attributes:
        id: Position in the data set, from 0.
        name: Its name in the data set, e.g. the name of its file.
        label: The data set's own label, None without.
        encoded: The image file.
    """

    id: int
    name: str
    label: int | None
    encoded: bytes = field(repr=False)

    @cached_property
    def image(self) -> Image:
        """The image, decoded (PIL).

        Raises:
            BadImage: The file is no readable image; the message names it.
        """
        try:
            return pictures.decode(self.encoded)
        except (OSError, ValueError, SyntaxError) as error:
            wrong = "is no readable image: skip_bad=True leaves out what cannot be used"
            named = f"image {self.id} ({self.name!r}) {wrong}"
            raise BadImage(named, fields={"image": wrong}) from error

    def _repr_png_(self) -> bytes:
        return pictures.encode_png(self.image)

    @staticmethod
    def read(message: interpret_pb2.Sample) -> Sample:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return Sample(
            message.id,
            message.name,
            message.label if message.HasField("label") else None,
            message.image,
        )


class Samples(list[Sample]):
    """Consecutive images of a data set.

    Attributes:
        left_out: Those between them that could not be used.
    """

    def __init__(self, items: Iterable[Sample], left_out: Iterable[LeftOutImage] = ()) -> None:
        super().__init__(items)
        self.left_out = tuple(left_out)


def _known(read: Callable[[DatasetInfo], object]) -> Callable[[DatasetInfo], object]:
    return lambda dataset: "" if dataset.error else read(dataset)


DATASET_COLUMNS: Columns[DatasetInfo] = {
    "data set": lambda dataset: dataset.name,
    "from": lambda dataset: dataset.uri,
    "images": _known(lambda dataset: dataset.size),
    "labels": _known(lambda dataset: "yes" if dataset.labelled else "no"),
    "classes mapped": _known(lambda d: sum(index >= 0 for index in d.class_indices) or ""),
    "indexed layers": _known(lambda dataset: ", ".join(dataset.indexed_layers)),
    "stored": lambda d: f"{d.stored_bytes / 2**20:.1f} MiB" if d.stored_bytes else "",
    "owner": lambda dataset: dataset.owner,
    "error": lambda dataset: dataset.error,
}
