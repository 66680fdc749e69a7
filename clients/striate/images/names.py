"""The files that images came from, for errors that know an image by its row alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from striate.errors import StriateError
from striate.errors.rows import renamed
from striate.results.datasets import Sample

_ROW = re.compile(
    r"(images?|start|labels|targets?|epsilons|step_sizes|steps|seeds)"
    r"(?:\.encoded)?(?:\[(\d+)\])?"
)
_IMAGES = ("image", "images", "start")


def name_of(image: object) -> str:
    """Says what an image is called.

    Args:
        image: As `as_batch` takes one.

    Returns:
        The path of a file, the name of a data set's sample; "" for what has no name.
    """
    if isinstance(image, Sample):
        return image.name
    return os.fsdecode(image) if isinstance(image, str | os.PathLike) else ""


def names_of(images: object) -> list[str]:
    """Says what the images of an argument are called, as far as that can be seen.

    Args:
        images: One image or a sequence of images, as `as_batch` takes them.

    Returns:
        A name an image, see `name_of`; none where the images are no sequence.
    """
    if isinstance(images, list | tuple):
        return list(map(name_of, images))
    return [name_of(images)] if name_of(images) else []


@contextmanager
def naming(names: Sequence[str]) -> Iterator[None]:
    """Names the file in errors about one row of a request.

    Args:
        names: What each image is called, see `name_of`; it may grow while images are sent.

    Raises:
        StriateError: What was raised in the context, with the file's name in its message where one
            of its fields is a row; the fields stay as they are.
    """
    try:
        yield
    except StriateError as error:
        for field, wrong in error.fields.items():
            name, is_image = _named(field, names)
            if name:
                what = name if is_image else f"{field}, of {name}"
                raise renamed(error, f"{what}: {wrong}") from error.__cause__
        raise


def _named(field: str, names: Sequence[str]) -> tuple[str, bool]:
    """The name of the image that a field is about, "" for none, and whether it is the image
    itself, not a label or setting of it.
    """
    row = _ROW.fullmatch(field)
    if row is None or (row[2] is None and (row[1] not in _IMAGES or len(names) != 1)):
        return "", False
    place = int(row[2] or 0)
    return names[place] if place < len(names) else "", row[1] in _IMAGES
