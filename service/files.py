"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp"  # the ending of what is not finished, which a killed server leaves


def write(path: Path, data: bytes, durable: bool = False) -> None:
    """Write a file, and its folder if need be; a reader sees the old file, the new one, or none;
    see `replacing`. Raises OSError.
    """
    with replacing(path, durable) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """A temporary file beside `path` to be written, which takes its place if all goes well. Makes
    the folder if need be.

    Args:
        durable: it is on the disk before it takes the place, so that no failure of the machine
            leaves half of it.

    Raises:
        OSError: the disk does not take it, or nothing was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_for(path)
    try:
        yield temporary
        appear(temporary, path, durable)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_for(path: Path) -> Path:
    """A new name beside `path`, of the ending `TEMPORARY`."""
    return path.with_name(f"{uuid.uuid4().hex}{TEMPORARY}")


def appear(temporary: Path, path: Path, durable: bool = True) -> None:
    """Give a finished file its name, if `durable` once it is on disk."""
    if durable:
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
    temporary.replace(path)
