"""Zip archives of images, read in place: a folder in them is a class."""

import stat
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from service.datasets.base import DatasetError, Source, UnreadableItem, printable
from service.datasets.fingerprint import Fingerprint
from service.datasets.folder import SUFFIXES, is_image, splits

MOST_IMAGES = 4_000_000
MOST_IMAGE_BYTES = 256 * 2**20  # of one image when it is unpacked
MOST_BYTES = 2**42  # of all images when they are unpacked
MOST_RATIO = 1000  # unpacked bytes of an image by packed ones; pictures are packed already


def zip_source(path: str, classes: tuple[str, ...] = (), folder: str = "") -> Source:
    """Open the images of a zip archive: as of a folder, without labels, or in one folder a class.

    A single folder around all others is passed over. Names that begin with a dot and macOS's own
    folder are skipped. Nothing is unpacked to disk.

    Args:
        path: of the archive.
        classes: names for the class folders, in sorted order.
        folder: only what lies below this folder of the archive; empty: everything.

    Returns:
        The images and their classes.

    Raises:
        DatasetError: it is no archive, holds no image or both forms, is encrypted, or would unpack
            to too much; or the names are not as many as the class folders.
        OSError: there is no such file.
    """
    file = Path(path).expanduser()
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise DatasetError(f"{path!r} is no zip archive: {error}") from error
    members = _images(archive, folder)
    if not members:
        below = f" below {folder!r}" if folder else ""
        raise DatasetError(f"{path!r} holds no image{below} ({', '.join(sorted(SUFFIXES))})")
    _check_size(list(members.values()), path)
    names = sorted(members)
    folders = sorted({name.partition("/")[0] for name in names if "/" in name})
    if folders and any("/" not in name for name in names):
        raise DatasetError(
            f"{path!r} has images beside its folders of images: keep either, or choose a folder by "
            f"?folder={folders[0]}"
        )
    if not classes and (found := splits(folders, names)):
        raise DatasetError(
            f"{path!r} holds the splits {', '.join(found)}, whose own folders are the classes: "
            f"choose one by ?folder={found[0]}"
        )
    if classes and folders and len(classes) != len(folders):
        raise DatasetError(
            f"{path!r} has {len(folders)} class folders, but {len(classes)} class names are given"
        )
    label_of = {name: label for label, name in enumerate(folders)}
    lock = threading.Lock()  # an archive reads one member at a time

    def item(index: int) -> tuple[str, bytes, int | None]:
        name = names[index]
        if stat.S_ISLNK(members[name].external_attr >> 16):
            raise UnreadableItem(name, f"in {path!r} it is a link, which is not followed")
        try:
            with lock, archive.open(members[name]) as image:
                return name, image.read(), label_of.get(name.partition("/")[0])
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
            raise UnreadableItem(name, f"in {path!r}: {error}") from error

    return Source(
        len(names),
        item,
        (classes or tuple(map(printable, folders))) if folders else (),
        len(folders),
        Fingerprint(lambda: [(path, file)]),
        "" if folders else f"{path!r} has no folders of classes",
    )


def _images(archive: zipfile.ZipFile, folder: str) -> dict[str, zipfile.ZipInfo]:
    """The images by their names, relative to the folder and to what surrounds them all."""
    above = PurePosixPath(folder).parts
    found: dict[tuple[str, ...], zipfile.ZipInfo] = {}
    for member in archive.infolist():
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        hidden = any(part.startswith(".") and part != ".." for part in parts) or "__MACOSX" in parts
        inside = parts[: len(above)] == above and len(parts) > len(above)
        if inside and not hidden and not member.is_dir() and is_image(parts[-1]):
            found[parts[len(above) :]] = member
    while found and len({parts[0] for parts in found}) == 1 and min(map(len, found)) > 2:
        found = {parts[1:]: member for parts, member in found.items()}
    return {"/".join(parts): member for parts, member in found.items()}


def _check_size(members: list[zipfile.ZipInfo], path: str) -> None:
    """Refuse an archive that unpacks to more than it may, before anything is unpacked."""
    if len(members) > MOST_IMAGES:
        raise DatasetError(f"{path!r} holds {len(members)} images, more than {MOST_IMAGES}")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise DatasetError(f"{path!r} would unpack to {total} bytes, more than {MOST_BYTES}")
    for member in members:
        if member.flag_bits & 1:
            raise DatasetError(f"{member.filename!r} in {path!r} is encrypted")
        packed = max(1, member.compress_size)
        if member.file_size > MOST_IMAGE_BYTES or member.file_size > MOST_RATIO * max(packed, 1024):
            raise DatasetError(
                f"{member.filename!r} in {path!r} would unpack from {packed} to {member.file_size} "
                f"bytes: at most {MOST_IMAGE_BYTES}, and {MOST_RATIO} times as many, are allowed"
            )
