"""A model's bundle, saved as its parts arrive."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from striate._formats.files import write_whole
from striate.errors import Internal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from striate.v1 import model_pb2


def save(name: str, parts: Iterable[model_pb2.ExportModelResponse], path: str | Path) -> Path:
    """Saves a bundle whole or not at all.

    Args:
        name: Of the model, for the error.
        parts: What the server sends.
        path: Where to; folders that are missing are made.

    Returns:
        The path.

    Raises:
        Internal: What came is not what the server sent.
        OSError: The file cannot be written.
    """
    return write_whole(path, _checked(name, parts))


def _checked(name: str, parts: Iterable[model_pb2.ExportModelResponse]) -> Iterator[bytes]:
    """The data of the parts, whose digest comes last."""
    digest, promised = hashlib.sha256(), ""
    for part in parts:
        digest.update(part.data)
        promised = part.sha256
        yield part.data
    if digest.hexdigest() != promised:
        raise Internal(f"the bundle of {name} was cut or altered on its way; ask for it again")
