"""What may be forgotten: values and pictures that were asked for lately."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from PIL import Image

Value = TypeVar("Value")

MOST_BYTES = 256 * 2**20


class Recent(Generic[Value]):
    """Values by key, the last so many that were used.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """Finds a value; None if it is forgotten."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Hashable, value: Value) -> Value:
        """Keeps a value, and returns it."""
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._most:
            self._values.popitem(last=False)
        return value


class Pictures:
    """PNG files by their SHA-256, whose address never shows anything else.

    Args:
        most_bytes: Of all files together; beyond, those go that were used longest ago.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._files: OrderedDict[str, bytes] = OrderedDict()

    def put(self, png: bytes) -> str:
        """Keeps a file.

        Args:
            png: The file.

        Returns:
            Its digest, 64 hexadecimal digits.
        """
        digest = hashlib.sha256(png).hexdigest()
        self._keep(digest, png)
        return digest

    def get(self, digest: str) -> bytes | None:
        """Finds a file; None if it is forgotten."""
        png = self._files.get(digest)
        if png is not None:
            self._files.move_to_end(digest)
        return png

    def thumbnail(self, digest: str, side: int) -> bytes | None:
        """Finds a file, made smaller where it is larger than so many pixels. Decodes and encodes:
        not for the event loop.

        Args:
            digest: Of the whole file.
            side: Pixels of the longer side at most.

        Returns:
            The smaller file; None if the whole one is forgotten.
        """
        name = f"{digest}-{side}"
        png = self.get(name)
        if png is not None:
            return png
        whole = self.get(digest)
        return None if whole is None else self._keep(name, _smaller(whole, side))

    def _keep(self, name: str, png: bytes) -> bytes:
        before = self._files.pop(name, b"")
        self._files[name] = png
        self._bytes += len(png) - len(before)
        while self._bytes > self._most and len(self._files) > 1:
            _, gone = self._files.popitem(last=False)
            self._bytes -= len(gone)
        return png


def _smaller(png: bytes, side: int) -> bytes:
    picture = Image.open(io.BytesIO(png), formats=("PNG",))
    if max(picture.size) <= side:
        return png
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
