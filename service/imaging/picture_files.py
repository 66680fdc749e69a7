"""Picture files: the one way in which the service opens them, and PNG on the way back."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, features

from service.imaging.decoding import check_wanted

MAX_BYTES = 16 * 2**20
MAX_PIXELS = 64_000_000
# All that is ever asked to read a picture: no plugin beyond these, least of all one that runs
# another program, such as Ghostscript for EPS.
FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"),
    *(("AVIF",) if features.check("avif") else ()),
)
READABLE = "PNG, JPEG, WebP, GIF, TIFF, BMP" + (", PPM or AVIF" if "AVIF" in FORMATS else " or PPM")
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}  # what PNG stores as it is


T = TypeVar("T")


class BadImage(ValueError):
    """Bytes or an array that cannot be taken for an image; the message says why."""


def open_image(data: bytes) -> Image.Image:
    """Open a picture of one of `FORMATS`, of which this reads the header alone.

    Args:
        data: bytes of the file.

    Returns:
        The image, not loaded yet; of several frames the first.

    Raises:
        BadImage: the file is empty, of another format, or larger than 64 megapixels.
    """
    if not data:
        raise BadImage("the image is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(
            f"the image has too many pixels; at most {MAX_PIXELS} are allowed"
        ) from error
    except Exception as error:  # what hostile bytes make Pillow raise is open-ended
        raise BadImage(f"the image is no readable {READABLE} file") from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise BadImage(
            f"the image has {image.width} x {image.height} pixels; at most {MAX_PIXELS} are allowed"
        )
    return image


def decode(data: bytes) -> Image.Image:
    """Decode a picture into an 8-bit image of mode "L" or "RGB".

    EXIF orientation is applied, alpha is composited over white, 16-bit samples keep their high
    byte, CMYK becomes RGB, and of several frames the first is taken.

    Args:
        data: bytes of a file of one of `FORMATS`, at most 16 MiB.

    Returns:
        The image.

    Raises:
        BadImage: the file is empty, larger than 16 MiB or 64 megapixels, of another format,
            truncated or corrupt, or its samples have no stated range.
        Abandoned: the call for which it would be decoded has ended.
    """
    check_wanted()
    if len(data) > MAX_BYTES:
        raise BadImage(f"the image file has {len(data)} bytes; at most {MAX_BYTES} are allowed")
    return _converted(open_image(data), lambda image: opaque(_eight_bit(image)))


def as_png(data: bytes) -> bytes:
    """Turn a picture of any of `FORMATS` into a PNG file of the same pixels: 16 bits stay 16 bits.

    Args:
        data: bytes of the file.

    Returns:
        The file, with EXIF orientation applied.

    Raises:
        BadImage: as in `decode`, but for the limit of 16 MiB.
        Abandoned: as in `decode`.
    """
    check_wanted()

    def deep(image: Image.Image) -> Image.Image:
        levels = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(levels.astype(np.uint16))

    return _converted(
        open_image(data),
        lambda image: encode_png(deep(image) if image.mode.startswith("I") else image),
    )


def encode_png(image: Image.Image) -> bytes:
    """Encode an image with little compression, for speed.

    Args:
        image: of any mode.

    Returns:
        A PNG file, without loss for modes that PNG knows, and of the image as RGB otherwise.

    Raises:
        Abandoned: the call for which it would be encoded has ended.
    """
    check_wanted()
    buffer = io.BytesIO()
    (image if image.mode in _PNG_MODES else image.convert("RGB")).save(
        buffer, "PNG", compress_level=1
    )
    return buffer.getvalue()


def _converted(opened: Image.Image, convert: Callable[[Image.Image], T]) -> T:
    """What `convert` makes of an opened picture, turned as its EXIF orientation says."""
    kind = opened.format
    with opened:
        if opened.mode == "F" or (opened.mode == "I" and kind == "TIFF"):
            raise BadImage(
                f"the {kind} image has 32-bit samples (mode {opened.mode}), whose range nothing "
                "states: save it with 8 or 16 bits"
            )
        try:
            opened.load()
            return convert(ImageOps.exif_transpose(opened))
        except Exception as error:
            raise BadImage(f"the {kind} image is truncated or corrupt: {error}") from error


def _eight_bit(image: Image.Image) -> Image.Image:
    """An image of a mode with 8-bit samples; deep gray keeps its high byte, and its transparent
    value if it has one.
    """
    if not image.mode.startswith("I"):
        return image
    deep = np.asarray(image).astype(np.int64)
    gray = Image.fromarray((deep.clip(0, 65535) >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray.putalpha(Image.fromarray(np.where(deep == transparent, 0, 255).astype(np.uint8)))
    return gray


def opaque(image: Image.Image) -> Image.Image:
    """Composite an image over white.

    Args:
        image: of any mode with 8-bit samples.

    Returns:
        The image in mode "L" if it is gray, and "RGB" if not.
    """
    gray = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("L" if gray else "RGB")


def png(pixels: npt.NDArray[Any]) -> bytes:
    """Encode an image as PNG.

    It is packed lightly: packing harder takes several times as long for a few percent. Not for the
    event loop.

    Args:
        pixels: (H, W) or (C, H, W), C 1 for gray, 3 for RGB, 4 for RGBA; uint8 as it is, floats
            clipped to [0, 1] and rounded to 256 levels.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: the array has another shape, or values that are not finite.
        Abandoned: the call for which it would be encoded has ended.
    """
    check_wanted()
    plane = pixels[0] if pixels.ndim == 3 and pixels.shape[0] == 1 else pixels
    if plane.ndim not in (2, 3) or (plane.ndim == 3 and plane.shape[0] not in (3, 4)):
        raise ValueError(f"expected (H, W) or (1, 3 or 4, H, W), not {pixels.shape}")
    if plane.dtype != np.uint8:
        if not np.isfinite(plane).all():
            raise ValueError("the image has values that are not finite")
        plane = np.rint(plane.clip(0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(
        np.ascontiguousarray(plane if plane.ndim == 2 else plane.transpose(1, 2, 0))
    ).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
