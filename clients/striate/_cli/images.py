"""Pictures and their classes as the command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PICTURE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm"),
    ".avif",
)


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Replaces every folder by the pictures in it, in name order.

    Args:
        paths: Files and folders.

    Returns:
        Files.

    Raises:
        FileNotFoundError: A folder holds no picture.
    """
    files: list[Path] = []
    for path in paths:
        found = (
            sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURE_ENDINGS)
            if path.is_dir()
            else [path]
        )
        if not found:
            raise FileNotFoundError(f"no {', '.join(PICTURE_ENDINGS)} in the folder {path}")
        files += found
    return files


def class_folders(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Finds the pictures in folders that hold one subfolder a class.

    Args:
        paths: The folders.

    Returns:
        The pictures, and for each the name of its subfolder, which is its class.

    Raises:
        FileNotFoundError: A path has no subfolders, or a subfolder no pictures.
    """
    files, labels = list[Path](), list[str]()
    for path in paths:
        folders = (
            sorted(inner for inner in path.iterdir() if inner.is_dir()) if path.is_dir() else []
        )
        if not folders:
            raise FileNotFoundError(
                f"{path} holds no folders named by classes, so give --label or --labels"
            )
        for folder in folders:
            found = image_files([folder])
            files += found
            labels += [folder.name] * len(found)
    return files, labels


def as_classes(
    words: Sequence[str] | None, classes: Sequence[str]
) -> list[int | str] | int | str | None:
    """Reads classes from the command line.

    Args:
        words: Indices and names; a number is an index unless a class has that very name.
        classes: Names of the model's classes.

    Returns:
        Indices and names; a single one, which stands for all images, alone; None for no words.
    """
    if not words:
        return None
    read = [
        int(word) if word.strip().isdigit() and word.strip() not in classes else word.strip()
        for word in words
    ]
    return read[0] if len(read) == 1 else read


def class_name(classes: Sequence[str], index: int) -> str:
    """The name of a class, or its number if it has none; "none" for -1, no class at all."""
    if index < 0:
        return "none"
    return classes[index] if index < len(classes) else str(index)
