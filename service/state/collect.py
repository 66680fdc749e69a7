"""Removes what nobody needs from a state folder that no server holds."""

import contextlib
import shutil
from pathlib import Path

from service.state.lock import StateLock
from service.state.survey import survey


def collect(folder: Path, version: str) -> dict[Path, int]:
    """Remove what nobody needs.

    Args:
        folder: the state folder.
        version: of the service, told to a server that is refused meanwhile.

    Returns:
        What was removed, and its bytes.

    Raises:
        StateInUse: a server holds the folder: what it is writing would look like left over.
        StateUnusable: the folder cannot be written or locked.
    """
    lock = StateLock(folder, version)
    removed = dict[Path, int]()
    try:
        for path, size in survey(folder).orphans.items():
            with contextlib.suppress(FileNotFoundError):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                removed[path] = size
    finally:
        lock.release()
    return removed
