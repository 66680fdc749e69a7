"""What a file is that cannot be read as what it is called: the ordinary mistakes."""

import zipfile
from pathlib import Path

_MOST = 1024  # bytes of a beginning
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself: run git lfs pull"),
    (b"<!doctype html", "is a web page: the download went wrong"),
    (b"<html", "is a web page: the download went wrong"),
    (b"\x89hdf", "is an HDF5 file, such as Keras writes"),
    (b"gguf", "is a GGUF file of a language model"),
    (b"\x93numpy", "is an array of NumPy"),
    (b"par1", "is a parquet file"),
)


def what_else(path: Path) -> str | None:
    """Say what a file is instead of what it was taken for.

    Args:
        path: of the file, which could not be read.

    Returns:
        Words that follow its name, such as "is empty"; None for nothing that is known.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_MOST)
        if start.startswith(b"PK"):
            names = zipfile.ZipFile(path).namelist()
            arrays = bool(names) and all(name.endswith(".npy") for name in names)
            return "holds arrays of NumPy (.npz)" if arrays else None
    except (OSError, zipfile.BadZipFile):
        return None
    if not start:
        return "is empty"
    head = start.lstrip().lower()
    return next((what for beginning, what in _BEGINNINGS if head.startswith(beginning)), None)
