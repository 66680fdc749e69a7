"""What the files of a data set hold, in one digest that is cheap to find again."""

import glob
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

BLOCK = 4096  # bytes
BLOCKS = 20_000  # of all files together, at least two a file that is looked into
_PATIENCE = 20.0  # a digest counts for so many times the time that it took

Listing = Callable[[], Iterable[tuple[str, Path]]]


class Fingerprint:
    """The digest of some files: their names, sizes and sampled content.

    Up to 20,000 blocks of 4 KiB are read, spread evenly over all files and in each from its first
    to its last bytes, so that files which are small together are read whole. Of more than 10,000
    files only so many, evenly spread, are looked into, the others count by name and size. Dates do
    not count: a copy has the same fingerprint. A file whose size, dates and inode are as they were
    is not read again, so that a later look costs one `stat` a file.

    Args:
        listing: the names and paths of the files as they are now, in the order of the samples.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, ...], bytes]] = {}
        self._digest, self._until = "", 0.0

    def __call__(self) -> str:
        """Find the digest. Blocks, and may be called from any thread.

        Returns:
            32 hexadecimal digits; files that cannot be read count as missing.
        """
        with self._lock:
            began = time.monotonic()
            if began >= self._until:
                self._digest = self._find()
                ended = time.monotonic()
                self._until = ended + _PATIENCE * (ended - began)
            return self._digest

    def _find(self) -> str:
        try:
            files = list(self._listing())
        except OSError:
            files = []
        blocks = max(2, BLOCKS // max(1, len(files)))
        every = -(-len(files) * blocks // BLOCKS)  # only each so many-th file is looked into
        whole, known = hashlib.sha256(), {}
        for number, (name, path) in enumerate(files):
            state, content = _state(path), b""
            if state and number % max(1, every) == 0:
                before = self._known.get(path)
                content = (
                    before[1]
                    if before and before[0] == (*state, blocks)
                    else _content(path, blocks)
                )
                known[path] = (*state, blocks), content
            size = state[0] if state else -1
            whole.update(f"{len(name)} {name} {size} ".encode("utf-8", "surrogateescape") + content)
        self._known = known
        return whole.hexdigest()[:32]


def matching_files(pattern: str) -> list[str]:
    """Find the files that match a glob, sorted.

    Args:
        pattern: of paths; `**` reaches into folders, `~` is the home folder.
    """
    return sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))


def _state(path: Path) -> tuple[int, ...]:
    """Size, dates and inode; () for what is missing, or no plain file: a pipe would never end."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    if not stat.S_ISREG(found.st_mode):
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _content(path: Path, blocks: int) -> bytes:
    """The digest of blocks, evenly spread from the first to the last bytes of a file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= blocks * BLOCK:
                digest.update(file.read())
            else:
                for block in range(blocks):
                    file.seek((size - BLOCK) * block // (blocks - 1))
                    digest.update(file.read(BLOCK))
    except OSError:
        return b"unreadable"
    return digest.digest()
