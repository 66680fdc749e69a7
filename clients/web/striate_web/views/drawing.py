"""Images of visitors and arrays of pixels as PNG files. It computes: not for the event loop."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from striate import BadImage

MOST_PIXELS = 40_000_000  # of an image that a visitor sends
_KEPT_SIDE = 1024  # pixels of the longer side that are kept
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def as_png(data: bytes) -> bytes:
    """Reads an image that somebody sent, and writes it anew, with nothing in it but its pixels.

    Args:
        data: The file.

    Returns:
        A PNG file of at most 1024 pixels a side.

    Raises:
        BadImage: It is no image that is known, or too large.
    """
    try:
        found = Image.open(io.BytesIO(data), formats=_FORMATS)
        if found.width * found.height > MOST_PIXELS:
            raise BadImage(f"The image has more than {MOST_PIXELS:,} pixels.")
        picture = ImageOps.exif_transpose(found)  # decodes it
        picture = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    except BadImage:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage("This is no image that can be read: PNG, JPEG and WebP can.") from error
    picture.thumbnail((_KEPT_SIDE, _KEPT_SIDE), Image.Resampling.LANCZOS)
    return _written(picture)


def pixels(png: bytes) -> NDArray[np.float64]:
    """Reads a PNG file.

    Args:
        png: The file, gray or of colours.

    Returns:
        (rows, columns, channels) in [0, 1].
    """
    values = np.asarray(Image.open(io.BytesIO(png), formats=("PNG",)), np.float64) / 255
    return values[:, :, None] if values.ndim == 2 else values


def drawn(values: NDArray[np.float64]) -> bytes:
    """Writes an array as a PNG file.

    Args:
        values: (rows, columns, channels) with 1 or 3 channels; cut to [0, 1].

    Returns:
        The file.
    """
    levels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return _written(Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels))


def magnified(difference: NDArray[np.float64]) -> tuple[bytes, float]:
    """Draws a difference of images around gray, as strongly as fits.

    Args:
        difference: (rows, columns, channels).

    Returns:
        A PNG file, and by how much the difference is magnified in it.
    """
    largest = float(np.abs(difference).max())
    factor = 0.5 / largest if largest else 1.0
    return drawn(0.5 + factor * difference), factor


def noise(clean: NDArray[np.float64], norm: str, size: float) -> bytes:
    """Draws an image under random noise of a given size: the control of an attack.

    Args:
        clean: (rows, columns, channels) in [0, 1].
        norm: "linf" for random signs, "l2" for a random direction.
        size: Of the noise in that norm.

    Returns:
        A PNG file.
    """
    random = np.random.default_rng(0).normal(size=clean.shape)
    direction = np.sign(random) if norm == "linf" else random / np.linalg.norm(random)
    return drawn(clean + size * direction)


def _written(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
