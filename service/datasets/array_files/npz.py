"""NumPy's archives of arrays, mapped into memory where they are not compressed; nothing is
unpickled.
"""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.datasets.array_files.images import (
    ArrayNames,
    array_source,
    choose,
    unlabelled_way,
    whole_file,
)
from service.datasets.base import DatasetError, Source
from service.datasets.fingerprint import Fingerprint

MOST_UNPACKED = 4 * 2**30  # bytes of a compressed array, which has to be held in memory
MOST_RATIO = 1000  # bytes of a compressed array by those in the file
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, ValueError, EOFError),
    *(NotImplementedError, RuntimeError, MemoryError, OverflowError),
)
_LOCAL_HEADER = 30  # bytes before the name of a member


def npz_source(path: str, classes: tuple[str, ...] = (), named: ArrayNames | None = None) -> Source:
    """Open the arrays of images and labels in an .npz file, or the array in an .npy file.

    Args:
        path: of the file.
        classes: names by label.
        named: which arrays, and how they are laid out.

    Returns:
        The images.

    Raises:
        DatasetError: it is no such file, holds objects, or its arrays do not fit.
        OSError: there is no such file.
    """
    file, named = Path(path).expanduser(), named or ArrayNames()
    fingerprint, check = Fingerprint(lambda: [(path, file)]), whole_file(file)
    try:
        with file.open("rb") as opened:
            single = opened.read(6) == npy.MAGIC_PREFIX
        if single:
            mapped = npy.open_memmap(file, mode="r")
            return array_source(
                mapped, None, classes, named.layout, repr(path), fingerprint, check=check
            )
        with zipfile.ZipFile(file) as archive:
            members = {
                member.filename.removesuffix(".npy"): member
                for member in archive.infolist()
                if member.filename.endswith(".npy")
            }
            image, label = choose(list(members), named, repr(path))
            images = _array(file, archive, members[image], path)
            labels = None if label is None else _array(file, archive, members[label], path)
    except _BROKEN as error:
        raise DatasetError(f"{path!r} is no file of arrays that is read here: {error}") from error
    way = "" if labels is not None else unlabelled_way(list(members), repr(path))
    return array_source(images, labels, classes, named.layout, repr(path), fingerprint, way, check)


def _array(
    file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str
) -> NDArray[Any]:
    """A member, mapped into memory if it is stored as it is, and unpacked otherwise."""
    stored = member.compress_type == zipfile.ZIP_STORED
    if not stored and member.file_size > MOST_UNPACKED:
        raise DatasetError(
            f"the array {member.filename!r} of {path!r} is compressed and has {member.file_size} "
            f"bytes, more than the {MOST_UNPACKED} that are unpacked: numpy.savez writes it "
            "uncompressed, and then it is read in place"
        )
    if not stored and member.file_size > MOST_RATIO * max(member.compress_size, 1024):
        raise DatasetError(
            f"the array {member.filename!r} of {path!r} would unpack from {member.compress_size} "
            f"to {member.file_size} bytes, more than {MOST_RATIO} times as many"
        )
    with archive.open(member) as packed:
        version = npy.read_magic(packed)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(packed)
        if dtype.hasobject:
            raise DatasetError(
                f"the array {member.filename!r} of {path!r} holds pickled objects, which are never "
                "loaded: store numbers, or texts as numpy.str_"
            )
        promised = packed.tell() + math.prod(shape) * dtype.itemsize
        if promised > member.file_size:
            raise DatasetError(
                f"the array {member.filename!r} of {path!r} promises {promised} bytes and has "
                f"{member.file_size}"
            )
        if not stored:
            packed.seek(0)
            return npy.read_array(packed, allow_pickle=False)
        begin = packed.tell()
    with file.open("rb") as raw:
        raw.seek(member.header_offset + _LOCAL_HEADER - 4)
        name, extra = (int.from_bytes(raw.read(2), "little") for _ in range(2))
    offset = member.header_offset + _LOCAL_HEADER + name + extra + begin
    if int(np.prod(shape)) == 0:
        return np.zeros(shape, dtype)
    return np.memmap(file, dtype, "r", offset, shape, order="F" if fortran else "C")
