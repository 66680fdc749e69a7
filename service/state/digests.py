"""Files that are held to the digests of what was written, before anything of them is served."""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_MOST_REMEMBERED = 4096
_BLOCK = 1 << 20

# Of a file: what changes with every write, also with one that puts the old time back.
_Signature = tuple[int, int, int, int, int]


class DataLost(RuntimeError):
    """A kept file is not what was written."""


def sha256(file: BinaryIO) -> str:
    """Hash a file from where it stands to its end.

    Args:
        file: an open file.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    while data := file.read(_BLOCK):
        digest.update(data)
    return digest.hexdigest()


class Verified:
    """Remembers which files have been verified as they are now, so that a large file is read
    through once and not at every request. It may be used from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[_Signature, str], None] = OrderedDict()

    def require(self, path: Path, wanted: str, digest: Callable[[], str], otherwise: str) -> None:
        """Verify a file, unless that was done since it last changed.

        Args:
            path: of the file.
            wanted: the digest of what was written.
            digest: computes that of what is there.
            otherwise: what the error says, with the way on.

        Raises:
            DataLost: the digests differ.
            OSError: there is no such file.
        """
        key = (_signature(path), wanted)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return
        if digest() != wanted:
            raise DataLost(otherwise)
        with self._lock:
            self._known[key] = None
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)


def _signature(path: Path) -> _Signature:
    about = os.stat(path)
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
