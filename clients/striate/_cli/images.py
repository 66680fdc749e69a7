"""Pictures and their classes as the command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from striate._cli.console import image_files

LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="True class, index or name: one for all, or repeated, one an image."
    ),
]
LabelsOption = Annotated[
    str | None, typer.Option("--labels", help="The same, separated by commas.")
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="Class to be taken for: one for all, or repeated, one an image; or "
        '"random" or "least-likely".',
    ),
]


def words(label: list[str] | None, labels: str | None) -> list[str] | None:
    """The labels of --label or --labels. Raises typer.BadParameter for both."""
    if label and labels:
        raise typer.BadParameter("give --label or --labels, not both", param_hint="--labels")
    return labels.split(",") if labels else label


def as_classes(
    given: Sequence[str] | None, classes: Sequence[str]
) -> list[int | str] | int | str | None:
    """Classes from the command line: a number is an index unless a class has that very name; a
    single one stands for all.
    """
    if not given:
        return None
    read = [
        int(word) if word.strip().isdigit() and word.strip() not in classes else word.strip()
        for word in given
    ]
    return read[0] if len(read) == 1 else read


def class_folders(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The pictures in the subfolders of some folders, and for each the name of its subfolder, which
    is its class.

    Raises FileNotFoundError for a path without subfolders, or a subfolder without pictures.
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


def class_name(classes: Sequence[str], place: int) -> str:
    """The name of a class, or its number if it has none."""
    return classes[place] if place < len(classes) else str(place)


def yes(value: bool) -> str:
    """A flag in a table."""
    return "yes" if value else "no"
