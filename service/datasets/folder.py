"""Image folders: files of any image format; folders inside are classes."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from service.datasets.base import DatasetError, Source, UnreadableItem, printable
from service.datasets.fingerprint import Fingerprint
from service.datasets.inside import read_inside
from service.imaging import FORMATS

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
    *((".avif",) if "AVIF" in FORMATS else ()),
}
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


def folder_source(path: str, classes: tuple[str, ...] = ()) -> Source:
    """Open the images below a folder: in it without labels, or in one folder a class inside.

    Classes are numbered in sorted order and their images sorted by relative path, which is the
    image's name. Names that begin with a dot are skipped. Links are followed within the folder; an
    image to which one leads out of it cannot be read.

    Args:
        path: of the folder.
        classes: names for the class folders, in their order.

    Returns:
        The images and their classes.

    Raises:
        DatasetError: the folder cannot be read, holds no image or several splits, or mixes both
            forms; or the names are not as many as the class folders.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DatasetError(f"{path!r} is not a folder")
    flat, folders = _entries(root)
    files = [
        (name, label)
        for label, folder in enumerate(folders)
        for name in _images_below(root, folder)
    ]
    fingerprint = Fingerprint(lambda: _listing(root))
    if flat and files:
        raise DatasetError(f"{path!r} has images beside its folders of images: keep either")
    if not flat and not files:
        raise DatasetError(f"{path!r} holds no image ({', '.join(sorted(SUFFIXES))})")
    if not classes and (found := splits(folders, [name for name, _ in files])):
        raise DatasetError(
            f"{path!r} holds the splits {', '.join(found)}, whose own folders are the classes: "
            f"name one, such as imagefolder:{Path(path) / found[0]}"
        )
    if flat:
        return Source(
            len(flat),
            lambda index: (flat[index], read_file(root, flat[index]), None),
            fingerprint=fingerprint,
        )
    if classes and len(classes) != len(folders):
        raise DatasetError(
            f"{path!r} has {len(folders)} class folders, but {len(classes)} class names are given"
        )

    def item(index: int) -> tuple[str, bytes, int | None]:
        name, label = files[index]
        return name, read_file(root, name), label

    names = classes or tuple(map(printable, folders))
    return Source(len(files), item, names, len(folders), fingerprint)


def splits(folders: Collection[str], names: Collection[str]) -> list[str]:
    """Tell splits from classes.

    Args:
        folders: that are right in a data set.
        names: of all images, paths with slashes.

    Returns:
        The folders, where there are several, all called as splits are, with folders of images
        inside; else none.
    """
    called_so = len(folders) > 1 and all(folder.lower() in _SPLITS for folder in folders)
    return sorted(folders) if called_so and all(name.count("/") > 1 for name in names) else []


def _entries(root: Path) -> tuple[list[str], list[str]]:
    """The images and the folders right in a folder, sorted."""
    entries = list(root.iterdir())
    flat = [entry.name for entry in entries if is_image(entry.name) and entry.is_file()]
    folders = [entry.name for entry in entries if entry.name[0] != "." and entry.is_dir()]
    return sorted(flat), sorted(folders)


def _listing(root: Path) -> list[tuple[str, Path]]:
    """All images as they are now, with the empty folders of classes, which number the others."""
    flat, folders = _entries(root)
    names = [*flat, *folders, *(name for f in folders for name in _images_below(root, f))]
    return [(name, root / name) for name in names]


def read_file(root: Path, name: str) -> bytes:
    """Read the file of a sample.

    Args:
        root: the data set's folder.
        name: of the sample: its path below the folder.

    Returns:
        What the file holds.

    Raises:
        UnreadableItem: the file cannot be read, or a link leads out of the folder.
    """
    try:
        return read_inside(root, name)
    except OSError as error:
        raise UnreadableItem(name, f"{error.strerror or error}: {str(root / name)!r}") from error
    except ValueError as error:
        raise UnreadableItem(name, str(error)) from error


def is_image(name: str) -> bool:
    """Tell by its name whether a file is one of an image; hidden files are not."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _images_below(root: Path, folder: str) -> list[str]:
    found = [
        (Path(place) / name).relative_to(root).as_posix()
        for place, names in _walk(root / folder)
        for name in names
        if is_image(name)
    ]
    return sorted(found)


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The files of a folder and of those inside it, but for hidden ones."""
    for place, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".")]
        yield place, names
