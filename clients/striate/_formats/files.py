"""Names and contents of the files that results are saved to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from striate._formats.pictures import decode
from striate.errors import invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONGEST_NAME = 120  # characters; a composed objective can be longer than file systems allow


def file_name(text: str) -> str:
    """Makes a file name, without ending, from an objective such as "layer3.2:7@3,4".

    Args:
        text: Any text.

    Returns:
        The text with every run of characters other than letters, digits, dot, underscore and
        hyphen replaced by "-" and a minus sign in front by "minus-", at most 120 characters of it;
        "result" if nothing is left.
    """
    sign = "minus-" if text.startswith("-") else ""
    return sign + re.sub(r"[^\w.-]+", "-", text)[:_LONGEST_NAME].strip("-.") or "result"


def file_names(texts: Iterable[str]) -> list[str]:
    """Makes a file name from each text, all of them different.

    Args:
        texts: Any texts.

    Returns:
        One name a text, as `file_name` makes it, with "-2", "-3", ... behind those that come again.
    """
    names: dict[str, None] = {}
    for text in texts:
        base = file_name(text)
        numbers = (base if number == 1 else f"{base}-{number}" for number in count(1))
        names[next(name for name in numbers if name not in names)] = None
    return list(names)


def write_picture(encoded: bytes, path: str | Path) -> Path:
    """Writes a picture in the format of the path's ending.

    Args:
        encoded: The picture, a PNG file.
        path: Where to; ".png" and no ending get the bytes as they are, other endings the picture
            encoded again. Folders that are missing are made.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
        InvalidArgument: The path's ending is no known picture format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in ("", ".png"):
        path.write_bytes(encoded)
        return path
    try:
        decode(encoded).convert("RGB").save(path)
    except ValueError:
        raise invalid("path", f"{path.suffix!r} is no known picture format") from None
    return path


def save_array_or_picture(array: NDArray[np.float32], png: bytes, path: str | Path) -> Path:
    """Saves the array to a ".npy" file, and the picture to any other.

    Args:
        array: The exact values, of any shape.
        png: Their picture, a PNG file.
        path: Where to; folders that are missing are made.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
        InvalidArgument: The path's ending is no known picture format.
    """
    import numpy as np

    if Path(path).suffix.lower() != ".npy":
        return write_picture(png, path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=False)
    return Path(path)


def write_whole(path: str | Path, chunks: Iterable[bytes]) -> Path:
    """Writes a file whole or not at all: under the name PATH.part until the last chunk is in it.

    Args:
        path: Where to; folders that are missing are made.
        chunks: The file's contents, in order.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            file.writelines(chunks)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
