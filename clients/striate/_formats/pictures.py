"""PNG files, PIL images and arrays of pixels, each from the other."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


@cache
def formats() -> tuple[str, ...]:
    """Lists all that is ever asked to read a picture.

    Returns:
        Names of Pillow's plugins: none that runs another program, such as Ghostscript for EPS.
    """
    from PIL import features

    avif = ("AVIF",) if features.check("avif") else ()
    return ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", *avif)


def decode(encoded: bytes) -> Image:
    """Decodes an image file.

    Args:
        encoded: The file's bytes, of one of `formats`.

    Returns:
        The picture, read to its end.

    Raises:
        OSError: The bytes are no such file.
    """
    from PIL import Image

    picture = Image.open(io.BytesIO(encoded), formats=formats())
    picture.load()
    return picture


def encode_png(picture: Image) -> bytes:
    """Encodes a picture as it is meant to be seen.

    Args:
        picture: The picture; its EXIF orientation is applied, and modes that PNG lacks become RGB.

    Returns:
        The bytes of a PNG file.
    """
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("La", "RGBa"):  # alpha multiplied into the colours
        picture = picture.convert("LA" if picture.mode == "La" else "RGBA")
    if picture.mode == "PA":
        picture = picture.convert("RGBA")
    if picture.mode in ("I", "I;16B", "I;16L", "I;16N"):  # PNG's own order of bytes is written
        picture = picture.convert("I").convert("I;16")
    if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def from_floats(pixels: NDArray[np.float32]) -> Image:
    """Makes a picture of floats, rounded to 8 bits.

    Args:
        pixels: (C, H, W) in [0, 1], with 1 or 3 channels.

    Returns:
        The picture, gray or RGB.
    """
    import numpy as np
    from PIL import Image

    levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)


def to_floats(picture: Image) -> NDArray[np.float32]:
    """Reads the pixels of an 8-bit picture.

    Args:
        picture: The picture; modes other than gray and RGB become RGB.

    Returns:
        (C, H, W) float32 in [0, 1], with 1 or 3 channels.
    """
    import numpy as np

    levels = np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB"))
    channels = levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)
    return channels.astype(np.float32) / np.float32(255)


def grid(pictures: Sequence[Image], columns: int = 8, gap: int = 2) -> Image:
    """Lays pictures out in rows on white.

    Args:
        pictures: The pictures, of any sizes; each cell is as large as the largest of them.
        columns: Pictures a row.
        gap: Pixels between them.

    Returns:
        The grid, RGB; a single white pixel for no pictures.
    """
    from PIL import Image

    if not pictures:
        return Image.new("RGB", (1, 1), "white")
    columns = min(columns, len(pictures))
    width, height = (max(picture.size[axis] for picture in pictures) + gap for axis in (0, 1))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width - gap, rows * height - gap), "white")
    for index, picture in enumerate(pictures):
        sheet.paste(picture.convert("RGB"), (index % columns * width, index // columns * height))
    return sheet
