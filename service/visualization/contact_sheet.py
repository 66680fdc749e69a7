"""A contact sheet: many pictures as tiles of one."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.imaging import png

# Of the sheet's pixels, so that even noise, which cannot be packed, fits into a message.
MOST_BYTES = 32 * 2**20
MARGIN_SHARE = 1 / 64
_WHITE = 255


class ContactSheet:
    """Tiles in rows, filled in any order; only the sheet itself is held in memory.

    Args:
        count: tiles, at least 1.
        height: of a picture in pixels.
        width: of a picture in pixels; pictures are shrunk where so many would not fit.
        channels: 1 for gray, 3 for RGB, 4 for RGBA.
        most_bytes: of the sheet's pixels.

    Attributes:
        columns: tiles a row, the root of their number rounded up.
        tile: side of a tile in pixels, with the margin on its right and below.
    """

    def __init__(
        self, count: int, height: int, width: int, channels: int, most_bytes: int = MOST_BYTES
    ) -> None:
        self.columns = math.ceil(math.sqrt(count))
        rows = math.ceil(count / self.columns)
        longest = max(height, width)
        margin = max(1, round(longest * MARGIN_SHARE))
        self.tile = max(
            1, min(longest + margin, math.isqrt(most_bytes // (self.columns * rows * channels)))
        )
        side = self.tile - margin if self.tile == longest + margin else max(1, self.tile - 1)
        self._size = max(1, round(width * side / longest)), max(1, round(height * side / longest))
        self._mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        self._sheet: NDArray[np.uint8] = np.full(
            (rows * self.tile, self.columns * self.tile, channels), _WHITE, np.uint8
        )

    def place(self, number: int, picture: bytes) -> None:
        """Draw a picture into a tile.

        Args:
            number: of the tile, counted along the rows from 0.
            picture: a PNG file.
        """
        with Image.open(io.BytesIO(picture), formats=("PNG",)) as image:
            small = image.convert(self._mode)
            if small.size != self._size:
                small = small.resize(self._size, Image.Resampling.BOX)
        row, column = divmod(number, self.columns)
        top, left = row * self.tile, column * self.tile
        pixels = np.asarray(small).reshape(small.height, small.width, -1)
        self._sheet[top : top + small.height, left : left + small.width] = pixels

    def png(self) -> bytes:
        """Encode the sheet as a PNG file."""
        return png(self._sheet.transpose(2, 0, 1))
