"""From names and URIs to data sets."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from service.datasets.base import Dataset, DatasetError, Source, UnknownDataset
from service.datasets.classes import named_classes
from service.datasets.embedded import digits_source, photo_patches_source
from service.datasets.folder import folder_source
from service.datasets.parquet import parquet_source
from service.datasets.torchvision_sets import torchvision_source
from service.datasets.uploads import Uploads
from service.datasets.webdataset import webdataset_source

BUILT_IN = {"digits": "digits", "photo-patches": "photo-patches"}
SCHEMES = (
    "digits",
    "photo-patches",
    "imagefolder:DIR",
    "parquet:GLOB",
    "webdataset:GLOB",
    "torchvision:NAME",
)


class Datasets:
    """The data sets that a server reads, by name: the built-in ones, those of `uris` and the
    uploaded ones.

    Each is opened at its first use.
    """

    def __init__(self, uris: Mapping[str, str], cache: Path) -> None:
        """`cache` is where downloads go if a URI names no folder, and uploads into a folder of
        their own.
        """
        self._uris = {**BUILT_IN, **uris}
        self._cache = cache
        self.uploads = Uploads(cache / "uploads")
        self._opened: dict[str, Dataset] = {}
        self._locks = {
            name: threading.Lock() for name in self._uris
        }  # a slow download holds up its own data set alone

    @property
    def names(self) -> tuple[str, ...]:
        """All names: the built-in ones first, those of uploads last."""
        return (*self._uris, *(name for name in self.uploads.names if name not in self._uris))

    def get(self, name: str) -> Dataset:
        """The data set of that name, opened. Raises UnknownDataset, or DatasetError if it cannot be
        opened.
        """
        if name not in self._uris and name not in self.uploads:
            raise UnknownDataset(name, self._uris)
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._opened:
                self._opened[name] = (
                    open_dataset(name, self._uris[name], self._cache)
                    if name in self._uris
                    else self.uploads.open(name)
                )
            return self._opened[name]

    def glance(self, name: str) -> Dataset | None:
        """The data set of that name without a download: None if opening it could mean one and it is
        not open yet.

        Raises UnknownDataset, or DatasetError if it cannot be opened.
        """
        if (
            name in self._uris
            and name not in self._opened
            and self._uris[name].startswith("torchvision:")
        ):
            return None
        return self.get(name)

    def uri(self, name: str) -> str:
        """Where the data set of that name, one of `names`, is read from."""
        return self._uris[name] if name in self._uris else self.uploads.uri(name)


def open_dataset(name: str, uri: str, cache: Path) -> Dataset:
    """Open the data set at `uri` under `name`; downloads go to `cache` if the URI names no `root`.

    Raises DatasetError naming the data set, the URI and what is wrong with it.
    """
    try:
        return Dataset(name, uri, _open(uri, cache))
    except (DatasetError, OSError) as error:
        raise DatasetError(f"data set {name!r} ({uri}): {error}") from error


def _open(uri: str, cache: Path) -> Source:
    location, options = _split(uri)
    scheme, _, path = location.partition(":")
    names = named_classes(options.pop("classes")) if "classes" in options else ()
    if location == "digits":
        split = options.pop("split", "all")
        _refuse(options)
        return digits_source(split)
    if scheme == "torchvision" and path:
        root = Path(options.pop("root", str(cache / "torchvision"))).expanduser()
        return torchvision_source(path, options, root, names)
    _refuse(options)
    if location == "photo-patches":
        return photo_patches_source()
    if scheme == "imagefolder" and path:
        return folder_source(path, names)
    if scheme == "parquet" and path:
        return parquet_source(path, names)
    if scheme == "webdataset" and path:
        return webdataset_source(path, names)
    raise DatasetError(f"not a data set; use one of {', '.join(SCHEMES)}")


def _split(uri: str) -> tuple[str, dict[str, str]]:
    """A URI without its options, and these; a `?` that no `name=value` follows belongs to the path,
    a glob for instance.
    """
    match = re.fullmatch(r"(.*?)\?(\w+=[^?]*)", uri, re.DOTALL)
    return (match[1], dict(parse_qsl(match[2], keep_blank_values=True))) if match else (uri, {})


def _refuse(options: Mapping[str, str]) -> None:
    if options:
        raise DatasetError(f"unknown option {', '.join(map(repr, options))}")
