"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp"  # the ending of what is not finished, which a killed server leaves


def write(path: Path, data: bytes, durable: bool = False) -> None:
    """Write a file, and its folder if need be; a reader sees the old file, the new one, or none.

    Args:
        path: of the file.
        data: all that it holds.
        durable: see `replacing`.

    Raises:
        OSError: the disk does not take it.
    """
    with replacing(path, durable) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Give a temporary file to be written, which takes the place of another if all goes well.

    Args:
        path: whose place it takes; its folder is made if need be.
        durable: it is on the disk before it takes the place, so that no failure of the machine
            leaves half of it.

    Yields:
        The temporary file's path, in the same folder.

    Raises:
        OSError: the disk does not take it, or nothing was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        yield temporary
        move_into_place(temporary, path, durable)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Make a new name in the folder of `path`, of the ending `TEMPORARY`.

    Args:
        path: of the file that it is to replace.

    Returns:
        The path, of no existing file.
    """
    return path.with_name(f"{uuid.uuid4().hex}{TEMPORARY}")


def move_into_place(temporary: Path, path: Path, durable: bool = True) -> None:
    """Give a finished file its name.

    Args:
        temporary: the finished file.
        path: its name, in the same folder; what has that name is replaced.
        durable: wait until it is on disk before.

    Raises:
        OSError: the disk does not take it.
    """
    if durable:
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
    temporary.replace(path)
