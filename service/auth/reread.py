"""Files that are read again when they change, so that keys are replaced under a running server."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger("striate")
T = TypeVar("T")

# A file may be written twice within one tick of the clock that stamps it: until its stamp is so
# old, what it says is read again.
UNSETTLED_SECONDS = 1.0


class FilesUnusable(ValueError):
    """Files that a server needs to start cannot be read, or say nothing valid."""


_Stamp = tuple[int, int, int, int]


class Reread(Generic[T]):
    """What some files say together. Its methods may be called from any thread.

    Args:
        paths: of the files.
        read: reads them; raises OSError or ValueError where they say nothing valid.
        what: they are, for the log.

    Raises:
        FilesUnusable: they say nothing valid.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T], what: str) -> None:
        self._paths, self._read, self._what = tuple(paths), read, what
        self._lock = threading.Lock()
        self._trouble = ""
        self._seen = _stamps(self._paths)
        try:
            self._value = read()
        except (OSError, ValueError) as error:
            raise FilesUnusable(f"{what}: {error}") from error

    def current(self) -> T:
        """Look whether the files have changed, which takes some microseconds where they have not.

        Returns:
            What they say; while that is not valid, which is logged, what they said last.
        """
        if self._lock.acquire(blocking=False):  # who comes while they are read gets what was valid
            try:
                stamps = _stamps(self._paths)
                if stamps is None or stamps != self._seen:
                    self._seen = stamps
                    self._read_again()
            finally:
                self._lock.release()
        return self._value

    def _read_again(self) -> None:
        files = ", ".join(map(str, self._paths))
        try:
            found = self._read()
        except (OSError, ValueError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error(f"{self._what}: the last valid stay", files=files, error=str(error))
            return
        self._trouble = ""
        if found != self._value:
            self._value = found
            log.info(f"{self._what}: read again", files=files)


def _stamps(paths: Sequence[Path]) -> tuple[_Stamp | None, ...] | None:
    """What tells one state of the files from another; None where nothing does yet."""
    found, now = list[_Stamp | None](), time.time()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            found.append(None)
            continue
        if abs(now - status.st_mtime) < UNSETTLED_SECONDS:
            return None
        found.append((status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev))
    return tuple(found)
