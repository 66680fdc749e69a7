"""Files below a folder: what a name or a link makes of them must not leave it."""

import os
import stat
from pathlib import Path

MOST_FILE_BYTES = 256 * 2**20  # of one image


def inside(root: Path, name: str) -> Path:
    """Find the file that a path names, wherever links lead.

    Args:
        root: the folder that it is relative to, which may be a link itself.
        name: of the file; "/" parts folders, as does "\\\\" where no such file is there.

    Returns:
        The path of the file without links, which need not exist.

    Raises:
        ValueError: it lies outside the folder, by ".." or by a link, for instance.
    """
    if "\0" in name:
        raise ValueError(f"{name!r} is no path")
    folder = os.path.realpath(root)
    path = os.path.join(folder, name)
    if "\\" in name and not os.path.exists(path):
        path = os.path.join(folder, name.replace("\\", "/"))
    real = os.path.realpath(path)
    if os.path.commonpath([folder, real]) != folder:
        lexical = os.path.abspath(path)
        linked = os.path.commonpath([folder, lexical]) == folder
        how = f"is a link that leads to {real!r}, which lies" if linked else "lies"
        raise ValueError(
            f"{name!r} {how} outside the folder {folder!r}, whose files alone are read"
        )
    return Path(real)


def read_inside(root: Path, name: str) -> bytes:
    """Read the file that a path names.

    Args:
        root: the folder that it is relative to.
        name: of the file, as in `inside`.

    Returns:
        What it holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it lies outside the folder, is no plain file (a pipe or a device would never
            end), or has more than 256 MiB.
    """
    path = inside(root, name)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{str(path)!r} is no plain file")
        if found.st_size > MOST_FILE_BYTES:
            raise ValueError(
                f"{str(path)!r} has {found.st_size} bytes; at most {MOST_FILE_BYTES} are read"
            )
        return file.read(MOST_FILE_BYTES)
