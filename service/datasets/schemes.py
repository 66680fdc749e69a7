"""The types of data sets, by the scheme of their URIs. A new one is a module and a row here."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from interp.names import nearest_names
from service.datasets.array_files.images import ArrayNames
from service.datasets.array_files.npz import npz_source
from service.datasets.array_files.tensors import tensors_source
from service.datasets.base import DatasetError, Source
from service.datasets.classes import named_classes
from service.datasets.embedded import digits_source, photo_patches_source
from service.datasets.folder import folder_source
from service.datasets.tables.columns import ColumnNames
from service.datasets.tables.parquet import parquet_source
from service.datasets.tables.text import DELIMITERS, table_source
from service.datasets.torchvision_sets import torchvision_source
from service.datasets.webdataset import webdataset_source
from service.datasets.zip_archive import zip_source

_ON_ERROR = "on_error"  # the option that every URI may have
_SCHEME_OF = {  # by the ending of a file's name
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".npz": "npz",
    ".npy": "npz",
    ".pt": "pt",
    ".pth": "pt",
    ".zip": "zip",
    ".tar": "webdataset",
}
_ARRAY_OPTIONS = ("image", "label", "split", "layout")


@dataclass(frozen=True)
class Location:
    """What a URI says of a data set.

    Attributes:
        scheme: of the URI.
        path: what follows the scheme.
        options: of the URI's query, without the class names.
        classes: names by label that the query names; empty where it names none.
        cache: folder of downloads.
    """

    scheme: str
    path: str
    options: Mapping[str, str]
    classes: tuple[str, ...]
    cache: Path


@dataclass(frozen=True)
class Scheme:
    """A type of data sets.

    Attributes:
        usage: how its URIs look, without options; those of one with a colon have a path.
        open: opens one.
        options: that its URIs may have beside `classes`; None: `open` says which.
    """

    usage: str
    open: Callable[[Location], Source]
    options: Collection[str] | None = ()

    def fits(self, location: str, path: str) -> bool:
        """Tell whether a URI without options looks like `usage`, with a path or without.

        Args:
            location: the URI without its options.
            path: what follows its scheme; empty without one.

        Returns:
            Whether it does.
        """
        return bool(path) if ":" in self.usage else location == self.usage


def _open_digits(at: Location) -> Source:
    return digits_source(at.options.get("split", "all"))


def _column_names(at: Location) -> ColumnNames:
    return ColumnNames(*(at.options.get(column, "") for column in ("image", "label", "name")))


def _array_names(at: Location) -> ArrayNames:
    return ArrayNames(*(at.options.get(option, "") for option in _ARRAY_OPTIONS))


def _open_table(at: Location) -> Source:
    delimiters = DELIMITERS if at.scheme == "csv" else "\t"
    return table_source(
        at.path, delimiters, at.classes, _column_names(at), at.options.get("root", "")
    )


def _open_parquet(at: Location) -> Source:
    named = _column_names(at)
    split, config = (at.options.get(choice, "") for choice in ("split", "config"))
    return parquet_source(at.path, at.classes, named, split, config)


def _open_torchvision(at: Location) -> Source:
    options = dict(at.options)
    root = Path(options.pop("root", str(at.cache / "torchvision"))).expanduser()
    return torchvision_source(at.path, options, root, at.classes)


SCHEMES: Mapping[str, Scheme] = {
    "digits": Scheme("digits", _open_digits, options=("split",)),
    "photo-patches": Scheme("photo-patches", lambda _: photo_patches_source()),
    "imagefolder": Scheme("imagefolder:DIR", lambda at: folder_source(at.path, at.classes)),
    "parquet": Scheme(
        "parquet:GLOB", _open_parquet, options=("image", "label", "name", "split", "config")
    ),
    "webdataset": Scheme("webdataset:GLOB", lambda at: webdataset_source(at.path, at.classes)),
    "csv": Scheme("csv:FILE", _open_table, options=("image", "label", "name", "root")),
    "tsv": Scheme("tsv:FILE", _open_table, options=("image", "label", "name", "root")),
    "npz": Scheme(
        "npz:FILE",
        lambda at: npz_source(at.path, at.classes, _array_names(at)),
        options=_ARRAY_OPTIONS,
    ),
    "pt": Scheme(
        "pt:FILE",
        lambda at: tensors_source(at.path, at.classes, _array_names(at)),
        options=_ARRAY_OPTIONS,
    ),
    "zip": Scheme(
        "zip:FILE",
        lambda at: zip_source(at.path, at.classes, at.options.get("folder", "")),
        options=("folder",),
    ),
    "torchvision": Scheme("torchvision:NAME", _open_torchvision, options=None),
}


def open_uri(uri: str, cache: Path) -> Source:
    """Open what a URI names.

    Args:
        uri: a scheme, its path where it has one, and options, e.g. "parquet:/data/*.parquet".
        cache: folder of downloads.

    Returns:
        The samples.

    Raises:
        DatasetError: it is no URI of a data set, or what it names cannot be opened.
        OSError: a file or folder cannot be read.
    """
    location, options = _split(uri)
    name, _, path = location.partition(":")
    classes = named_classes(options.pop("classes")) if "classes" in options else ()
    options.pop(_ON_ERROR, None)  # see skips_bad
    scheme = SCHEMES.get(name)
    if scheme is None or not scheme.fits(location, path):
        _refuse_others(options, ())
        usages = ", ".join(scheme.usage for scheme in SCHEMES.values())
        raise DatasetError(f"not a data set; use one of {usages}{_meant(location)}")
    if scheme.options is not None:
        _refuse_others(options, scheme.options)
    return scheme.open(Location(name, path, options, classes, cache))


def skips_bad(uri: str) -> bool | None:
    """Tell what a URI says about samples that cannot be used.

    Args:
        uri: of a data set.

    Returns:
        Whether they are left out; None where the URI does not say it.

    Raises:
        DatasetError: it says something else than `on_error=fail` or `on_error=skip`.
    """
    said = _split(uri)[1].get(_ON_ERROR)
    if said not in (None, "fail", "skip"):
        raise DatasetError(f"on_error must be fail or skip, not {said!r}")
    return None if said is None else said == "skip"


def _meant(location: str) -> str:
    """Which URI a bare path probably stands for, as the end of a message; empty if none does."""
    path = Path(location).expanduser()
    scheme = "imagefolder" if path.is_dir() else _SCHEME_OF.get(path.suffix.lower())
    return f"; is {scheme}:{location} meant?" if scheme else ""


def _refuse_others(options: Mapping[str, str], allowed: Collection[str]) -> None:
    others = [option for option in options if option not in allowed]
    if others:
        known = sorted({*allowed, "classes", _ON_ERROR})
        meant = nearest_names(others[0], known)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        raise DatasetError(
            f"unknown option {', '.join(map(repr, others))}; it has {', '.join(known)}{hint}"
        )


def _split(uri: str) -> tuple[str, dict[str, str]]:
    """A URI without its options, and these; a `?` that no `name=value` follows belongs to the path,
    a glob for instance.
    """
    match = re.fullmatch(r"(.*?)\?(\w+=[^?]*)", uri, re.DOTALL)
    if match is None:
        return uri, {}
    # A plus is a plus: these are paths and names, not a form's fields.
    options = parse_qsl(match[2].replace("+", "%2B"), keep_blank_values=True)
    return match[1], dict(options)
