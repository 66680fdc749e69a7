"""The room that a disk has, and errors of disks that take nothing more."""

import errno
import os
import sqlite3
from pathlib import Path

FLOOR_BYTES = 256 * 2**20
_FULL = {errno.ENOSPC, errno.EDQUOT}
# What libraries that have no `errno` of their own say of a full disk and of one that is read-only.
_FULL_TEXTS = ("os error 28", "No space left on device", "disk is full", "os error 122")
_READ_ONLY_TEXTS = ("os error 30", "Read-only file system", "readonly database")
_WAY_ON = (
    "free some space on it (`striate-server state collect` removes what nobody needs), then ask "
    "again"
)


class StorageFull(RuntimeError):
    """The disk of the server's files has no room.

    Attributes:
        retry_after: seconds after which it is worth asking again: somebody has to make room.
    """

    retry_after = 60.0


class StorageReadOnly(RuntimeError):
    """The server's files cannot be written."""


def storage_error(error: BaseException | None) -> StorageFull | StorageReadOnly | None:
    """Find out whether a disk that takes nothing is behind an error.

    Args:
        error: any error; those that it comes from count, too.

    Returns:
        What to tell the caller; None where it is another error.
    """
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, StorageFull | StorageReadOnly):
            return error
        if _is_full(error):
            return StorageFull(f"the disk of the server's files is full: {_WAY_ON}")
        if _is_read_only(error):
            return StorageReadOnly(
                "the server's files cannot be written: its disk is mounted read-only, or its "
                "folder belongs to somebody else; mount it for writing, then ask again"
            )
        error = error.__cause__ or error.__context__
    return None


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return type(error).__module__ != "builtins" and any(t in str(error) for t in _FULL_TEXTS)


def _is_read_only(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.EROFS
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
    return type(error).__module__ != "builtins" and any(t in str(error) for t in _READ_ONLY_TEXTS)


class DiskSpace:
    """The free space of the disk that a folder is on, and a floor below which no new work begins.

    Args:
        folder: on the disk; it, or one above it, exists.
        floor: bytes that stay free; 0 for none.
    """

    def __init__(self, folder: Path, floor: int = FLOOR_BYTES) -> None:
        self._folder, self.floor = folder, floor

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        folder = self._folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        about = os.statvfs(folder)
        return about.f_bavail * about.f_frsize

    def require(self, more: int = 0) -> None:
        """Refuse work that writes where there is too little room.

        Args:
            more: bytes that the work is known to write.

        Raises:
            StorageFull: fewer bytes would be free than the floor.
        """
        if self.floor and (free := self.free) - more < self.floor:
            raise StorageFull(
                f"the disk of {self._folder} has {free} bytes free, and new work that writes "
                f"begins only where {self.floor} stay free (the setting disk_floor_bytes): "
                f"{_WAY_ON}"
            )
