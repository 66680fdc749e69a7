"""What a data set is: numbered samples, read on demand as encoded images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from interp.names import LONGEST, nearest_names
from service.imaging import BadImage, as_png

MOST_LABEL = 999_999


class DatasetError(Exception):
    """A data set that cannot be read, and why."""


class UnreadableItem(DatasetError):
    """A source cannot give one of its samples; `name` is the sample's."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(reason)


class BadSample(DatasetError):
    """One sample of a data set that cannot be used: its number, its name if that is known, and
    why.
    """

    def __init__(self, dataset: str, number: int, name: str, reason: str, what: str) -> None:
        self.number, self.name, self.reason = number, name, reason
        named = f" ({name!r})" if name else ""
        super().__init__(f"image {number}{named} of data set {dataset!r} {what}: {reason}")


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
    """One image of a data set.

    Attributes:
        id: its position, from 0.
        name: for readers.
        image: a PNG, JPEG or WebP file.
        label: a class of the data set; None where it has none.
    """

    id: int
    name: str
    image: bytes
    label: int | None


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        size: number of samples.
        item: number, from 0 to size - 1 -> (name, encoded image of any format, label); it may be
            called from several threads and raises DatasetError or OSError; UnreadableItem where
            the name is known all the same.
        classes: names by label; empty where unknown.
        label_count: number of different labels, 0 without labels.
        fingerprint: a digest of what the samples are read from, as it is now; None where that
            never changes.
        unlabelled: where there are no labels, what could be done about it; may be empty.
    """

    size: int
    item: Callable[[int], tuple[str, bytes, int | None]]
    classes: tuple[str, ...] = ()
    label_count: int = 0
    fingerprint: Callable[[], str] | None = None
    unlabelled: str = ""


@dataclass(frozen=True)
class Dataset:
    """A data set that has been opened.

    Attributes:
        name: that it was opened under.
        uri: that it was opened from.
        source: of its samples.
        skip_bad: passes over the data set leave out samples that cannot be used, and list them;
            else one such sample ends them.
        content: fingerprint of what it was opened from; "" where that never changes. It is found
            when the data set is made, which blocks while the source is read.
    """

    name: str
    uri: str
    source: Source
    skip_bad: bool = False
    content: str = field(init=False)

    def __post_init__(self) -> None:
        content = self.source.fingerprint() if self.source.fingerprint else ""
        object.__setattr__(self, "content", content)  # the way of frozen dataclasses

    @property
    def has_changed(self) -> bool:
        """Whether its files are others than when it was opened. Blocks, while they are looked
        at.
        """
        return self.source.fingerprint is not None and self.source.fingerprint() != self.content

    def skipping_bad(self, skip: bool = True) -> "Dataset":
        """The same data set, whose bad samples are left out if `skip`, or if they were before."""
        return replace(self, skip_bad=True) if skip and not self.skip_bad else self

    def check_unchanged(self, work: str) -> None:
        """Refuse what was made of two states of the data set.

        Args:
            work: what was done meanwhile, e.g. "it was indexed".

        Raises:
            DatasetError: its files are others than when it was opened.
        """
        if self.has_changed:
            raise DatasetError(
                f"the files of data set {self.name!r} ({self.uri}) have changed while {work}: "
                "begin again"
            )

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
        """Read consecutive samples.

        Args:
            first: number of the first, from 0.
            count: how many at most.
            most_bytes: only as many of them as take no more bytes in all; of the others at most one
                is read.

        Returns:
            The samples: fewer at the end of the data set, none past it.

        Raises:
            BadSample: an image cannot be read, or the first alone takes more than `most_bytes`; the
                message names it.
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
                    reason = f"it has {size} bytes, more than the {most_bytes} allowed"
                    raise BadSample(self.name, index, sample.name, reason, "cannot be read")
                break
            samples.append(sample)
        return samples

    def _sample(self, index: int) -> Sample:
        name = ""
        try:
            name, data, label = self.source.item(index)
            return Sample(index, printable(name), _as_stored_or_png(data), label)
        except (DatasetError, BadImage, OSError) as error:
            known = printable(error.name if isinstance(error, UnreadableItem) else name)
            raise BadSample(self.name, index, known, str(error), "cannot be read") from error


def printable(name: str) -> str:
    """Make text of a file's name: bytes that are no UTF-8, which Python keeps as lone surrogates,
    become U+FFFD.

    Args:
        name: of a file, as Python has it.

    Returns:
        The text.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _as_stored_or_png(data: bytes) -> bytes:
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if webp or data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return data
    return as_png(data)
