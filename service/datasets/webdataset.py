"""WebDataset shards (Aizman, Maltby & Breuel 2019): tar files of samples, read in place.

The members `train/0001.jpg` and `train/0001.cls` are one sample, `train/0001`: all up to the first
dot of the last part names it, the rest says what the member is. Opening a shard reads its headers
and labels and skips its images.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from service.datasets.base import MOST_LABEL, DatasetError, Source, UnreadableItem
from service.datasets.fingerprint import Fingerprint, matching_files
from service.datasets.folder import SUFFIXES
from service.datasets.inside import MOST_FILE_BYTES
from service.datasets.tar_members import read_at, tar_members

MOST_LABEL_BYTES = 2**20  # of a member that holds a label

_IMAGE = "image"
_KINDS = {
    **dict.fromkeys((suffix.removeprefix(".") for suffix in SUFFIXES), _IMAGE),
    "cls": "cls",
    "json": "json",
}
_UNKNOWN = -1  # label of a sample without one


def webdataset_source(pattern: str, classes: tuple[str, ...] = ()) -> Source:
    """Open the samples of tar shards, in the order of the shards' paths and therein of the samples'
    first members.

    The image of a sample is its member png, jpg or of another format that folders take, and its
    name what names the sample.
    The label is the whole number in its member cls, else under "label" in its json, negative or
    null where unknown, optional. Other members, among them such as `0001.mask.png`, and samples
    without an image are passed over; nothing is unpacked.

    Args:
        pattern: glob of the shards; `**` reaches into folders.
        classes: names by label.

    Returns:
        The samples.

    Raises:
        DatasetError: there is no shard, one is compressed, damaged or cut off, a sample has several
            images, a label is not a whole number up to 999,999, or the names are too few for the
            labels; the message names the shard.
    """
    paths = matching_files(pattern)
    if not paths:
        raise DatasetError(f"no file matches {pattern!r}")
    fingerprint = Fingerprint(lambda: ((path, Path(path)) for path in matching_files(pattern)))
    samples = _Samples(paths)
    if not samples.names:
        raise DatasetError(f"{pattern!r} holds no image ({', '.join(sorted(SUFFIXES))})")
    labels = samples.label_count
    if classes and labels > len(classes):
        raise DatasetError(
            f"{pattern!r} has label {labels - 1}, but only {len(classes)} class names"
        )
    names = classes if labels else ()
    return Source(len(samples.names), samples.item, names, max(labels, len(names)), fingerprint)


class _Samples:
    """Random access to the samples of several shards."""

    def __init__(self, paths: list[str]) -> None:
        self._paths, self.names = paths, list[str]()
        places = [np.empty((0, 4), np.int64)]
        for number, path in enumerate(paths):
            found = list(_samples(path))
            self.names += [name for name, *_ in found]
            places.append(
                np.array([(number, *place) for _, *place in found], np.int64).reshape(-1, 4)
            )
        # (N, 4): shard, offset and size of the image in bytes, label
        self._places = np.concatenate(places)

    @property
    def label_count(self) -> int:
        """The largest label + 1; 0 without labels."""
        return int(self._places[:, 3].max(initial=_UNKNOWN)) + 1

    def item(self, index: int) -> tuple[str, bytes, int | None]:
        """Return name, encoded image and label of sample `index`. Each call opens the file anew: it
        may come from any thread.
        """
        shard, offset, size, label = self._places[index].tolist()
        if size > MOST_FILE_BYTES:
            raise UnreadableItem(
                self.names[index], f"it has {size} bytes; at most {MOST_FILE_BYTES} are read"
            )
        try:
            with open(self._paths[shard], "rb") as file:
                data = read_at(file, offset, size)
        except OSError as error:
            raise UnreadableItem(self.names[index], str(error)) from error
        if len(data) < size:
            raise UnreadableItem(
                self.names[index], f"{self._paths[shard]!r} is shorter than when it was opened"
            )
        return self.names[index], data, None if label == _UNKNOWN else label


@dataclass
class _Sample:
    """Where the members of one sample are: kind -> (offset, size) in bytes."""

    members: dict[str, tuple[int, int]] = field(default_factory=dict)

    def label(self, file: BinaryIO) -> int:
        """The label, from the shard that holds the sample. Raises ValueError if it is none."""
        kind = "cls" if "cls" in self.members else "json"
        if kind not in self.members:
            return _UNKNOWN
        offset, size = self.members[kind]
        if size > MOST_LABEL_BYTES:
            raise ValueError(f"the {kind} has {size} bytes, more than {MOST_LABEL_BYTES}")
        data = read_at(file, offset, size)
        label = int(data) if kind == "cls" else _json_label(data)
        if label > MOST_LABEL:
            raise ValueError(f"the label {label} is more than {MOST_LABEL}")
        return max(label, _UNKNOWN)


def _json_label(data: bytes) -> int:
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("the json is nested too deeply") from error
    label = value.get("label") if isinstance(value, dict) else None
    if label is None:
        return _UNKNOWN
    if not isinstance(label, int) or isinstance(label, bool):
        raise ValueError(f"the label {str(label)[:50]!r} is not a whole number")
    return label


def _samples(path: str) -> Iterator[tuple[str, int, int, int]]:
    """(name, offset and size of the image, label) of each sample of a shard that has an image."""
    with open(path, "rb") as file:
        for name, sample in _grouped(file, path).items():
            if _IMAGE not in sample.members:
                continue
            try:
                yield name, *sample.members[_IMAGE], sample.label(file)
            except ValueError as error:
                raise DatasetError(
                    f"the label of sample {name!r} in {path!r} cannot be read: {error}"
                ) from error


def _grouped(file: BinaryIO, path: str) -> dict[str, _Sample]:
    """The samples of a shard by name, wherever in it their members are."""
    samples: dict[str, _Sample] = {}
    for member in tar_members(file, path):
        folder, slash, base = member.name.removeprefix("./").rpartition("/")
        stem, _, extension = base.partition(".")
        kind = _KINDS.get(extension.lower())
        if not stem or kind is None or member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise DatasetError(
                f"{member.name!r} in {path!r} is no plain file but a link, sparse or special"
            )
        name = folder + slash + stem
        members = samples.setdefault(name, _Sample()).members
        if kind in members:
            raise DatasetError(
                f"sample {name!r} in {path!r} has several members that could be its "
                f"{kind}: keep one"
            )
        members[kind] = member.offset_data, member.size
    return samples
