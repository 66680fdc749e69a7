"""Paths that a file names, which must not leave a folder."""

import os
from pathlib import Path


def inside(root: Path, name: str) -> Path:
    """Find the file that a path names.

    Args:
        root: the folder that it is relative to.
        name: of the file; "/" parts folders, as does "\\\\" where no such file is there.

    Returns:
        The path of the file, which need not exist.

    Raises:
        ValueError: it lies outside the folder, by "..", for instance.
    """
    folder = os.path.abspath(root)
    path = os.path.abspath(os.path.join(folder, name))
    if "\\" in name and not os.path.exists(path):
        path = os.path.abspath(os.path.join(folder, name.replace("\\", "/")))
    if os.path.commonpath([folder, path]) != folder or "\0" in name:
        raise ValueError(f"{name!r} lies outside the folder {folder!r}, whose files alone are read")
    return Path(path)
