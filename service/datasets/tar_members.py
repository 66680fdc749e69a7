"""The members of a tar file, read without trust in what its headers say."""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from service.datasets.base import DatasetError

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}


def tar_members(file: BinaryIO, path: str) -> Iterator[tarfile.TarInfo]:
    """List the members of a tar in their order; of their data nothing is read.

    Args:
        file: of the tar, at its start.
        path: of the file, for messages.

    Yields:
        The members, all kinds of them.

    Raises:
        DatasetError: the file is compressed, no tar, damaged or cut off.
    """
    start = file.read(max(map(len, _COMPRESSED)))
    packed = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)
    if packed is not None:
        raise DatasetError(
            f"{path!r} is compressed ({packed}), in which no image can be found without "
            f"unpacking all: keep a plain tar"
        )
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="replace") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if member.size < 0:
                    raise DatasetError(
                        f"{path!r} is damaged: {member.name!r} has {member.size} bytes"
                    )
                yield member
            # tarfile stops at a broken header as if at the end.
            if read_at(file, tar.offset, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise DatasetError(
                    f"{path!r} is damaged or cut off at byte {tar.offset}: it does not end "
                    f"there as a tar does"
                )
    except (
        tarfile.TarError,
        ValueError,
        ArithmeticError,
        EOFError,
        LookupError,
        MemoryError,
        RecursionError,
    ) as error:  # damaged headers
        raise DatasetError(f"{path!r} is no tar, damaged or cut off: {error}") from error


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Read bytes of a file from an offset.

    Args:
        file: opened for reading; its position changes.
        offset: of the first byte.
        size: number of bytes at most.

    Returns:
        The bytes, fewer at the end of the file.
    """
    file.seek(offset)
    return file.read(size)
