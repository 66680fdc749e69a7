"""What a data set is: numbered samples, read on demand as encoded images."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PIL import Image

from interp.names import LONGEST, nearest_names

MAX_PIXELS = 64_000_000  # of an image that has to be converted
MOST_LABEL = 999_999
_KEPT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}  # what PNG stores as it is


class DatasetError(Exception):
    """A data set that cannot be read, and why."""


class UnknownDataset(LookupError):
    """No data set has this name; `nearest` holds the names that look most like it."""

    def __init__(self, name: str, names: Iterable[str]) -> None:
        known = list(names)
        self.name = name[:LONGEST]
        self.nearest = nearest_names(name, known, cutoff=0.4)
        super().__init__(
            f"no data set is called {self.name!r}; known: {', '.join(sorted(known)) or 'none'}"
        )


@dataclass(frozen=True)
class Sample:
    """One image: position in the data set from 0, name, PNG, JPEG or WebP file, and label where it
    has one.
    """

    id: int
    name: str
    image: bytes
    label: int | None


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    `item(i)` gives (name, encoded image of any format, label) for 0 <= i < size; it may be called
    from several threads and raises DatasetError or OSError. `label_count` is the number of
    different labels, 0 without labels.
    """

    size: int
    item: Callable[[int], tuple[str, bytes, int | None]]
    classes: tuple[str, ...] = ()
    label_count: int = 0


@dataclass(frozen=True)
class Dataset:
    """A data set that has been opened."""

    name: str
    uri: str
    source: Source

    def __len__(self) -> int:
        return self.source.size

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label; empty where unknown."""
        return self.source.classes

    @property
    def label_count(self) -> int:
        """Number of different labels, 0 without labels."""
        return self.source.label_count

    @property
    def labelled(self) -> bool:
        """Whether the images have labels."""
        return self.source.label_count > 0

    def read(self, first: int, count: int, most_bytes: int | None = None) -> list[Sample]:
        """Up to `count` consecutive samples from number `first`: fewer at the end, none past it.

        With `most_bytes`, as many of them as take no more than that in all; the rest is not read,
        but for one.

        Raises:
            DatasetError: an image cannot be read, or the first alone takes more than `most_bytes`;
                the message names it.
            ValueError: a number is negative.
        """
        if first < 0 or count < 0:
            raise ValueError(f"first and count must be at least 0, not {first} and {count}")
        samples, size = list[Sample](), 0
        for index in range(first, min(first + count, len(self))):
            sample = self._sample(index)
            size += len(sample.image)
            if most_bytes is not None and size > most_bytes:
                if not samples:
                    raise DatasetError(
                        f"image {index} of data set {self.name!r} has {size} bytes, more "
                        f"than the {most_bytes} allowed"
                    )
                break
            samples.append(sample)
        return samples

    def _sample(self, index: int) -> Sample:
        try:
            name, data, label = self.source.item(index)
            return Sample(index, plain(name), _as_stored_or_png(data), label)
        except (DatasetError, OSError, Image.DecompressionBombError) as error:
            raise DatasetError(
                f"image {index} of data set {self.name!r} cannot be read: {error}"
            ) from error


def plain(text: str) -> str:
    """The name of a file as text: bytes that are no UTF-8, which Python keeps as lone surrogates,
    become U+FFFD.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def png(image: Image.Image) -> bytes:
    """The image as a PNG file, without loss for modes that PNG knows and as RGB otherwise; little
    compression, for speed.
    """
    buffer = io.BytesIO()
    (image if image.mode in _KEPT_MODES else image.convert("RGB")).save(
        buffer, "PNG", compress_level=1
    )
    return buffer.getvalue()


def _as_stored_or_png(data: bytes) -> bytes:
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if webp or data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return data
    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DatasetError(
                f"it has {image.width} x {image.height} pixels, more than "
                f"{MAX_PIXELS // 1_000_000} megapixels"
            )
        return png(image)
