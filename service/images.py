"""Image files and pixels: decoded with suspicion, prepared as a network's preprocessing says, and encoded as PNG."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_BYTES = 16 * 2**20
MOST_PIXELS = 64_000_000

_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class BadImage(ValueError):
    """Bytes that are no image of the formats and sizes that are taken."""


def decode(data: bytes) -> Image.Image:
    """The image in a PNG, JPEG or WebP file of at most 16 MiB and 64 megapixels: upright (EXIF), alpha composited over white, 8 bits.

    Raises:
        BadImage: it is too large, of another format, truncated or corrupt. The size is checked before any pixel is decoded.
    """
    if len(data) > MOST_BYTES:
        raise BadImage(f"the file has {len(data)} bytes, at most {MOST_BYTES} are taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is lower
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise BadImage(f"the image has {image.width} x {image.height} pixels, at most {MOST_PIXELS} are taken")
        image.load()
        return _flat(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise BadImage("the file is not a PNG, JPEG or WebP image") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"the image has more than {MOST_PIXELS} pixels") from error
    except BadImage:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError) as error:  # what Pillow's decoders raise
        raise BadImage(f"the image is truncated or corrupt: {error}") from error


def _flat(image: Image.Image) -> Image.Image:
    """Mode L or RGB, without alpha."""
    if image.mode.startswith("I"):  # 16 bits a pixel, in Pillow's integer modes
        levels = np.asarray(image).astype(np.float64) / 257
        return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("L") if image.mode in ("1", "L") else image.convert("RGB")


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its images, before normalization in 8 bits and after it in units of the standard deviation.

    Attributes:
        resize: pixels of the short side before the centre crop to height x width.
        interpolation: "nearest", "bilinear" or "bicubic", with antialiasing when shrinking.
        mean, std: per channel, in pixel units of [0, 1].
    """

    channels: int
    height: int
    width: int
    resize: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, image: Image.Image) -> NDArray[np.uint8]:
        """(C, H, W) uint8: converted to gray or colour, resized on the short side, cropped at the centre, padded with black if smaller."""
        image = image.convert("L" if self.channels == 1 else "RGB")
        short, long = sorted(image.size)
        if short != self.resize:
            scaled = max(1, int(self.resize * long / short))
            size = (self.resize, scaled) if image.width <= image.height else (scaled, self.resize)
            image = image.resize(size, _INTERPOLATIONS[self.interpolation])
        pixels = np.asarray(image).reshape(image.height, image.width, self.channels)
        return np.ascontiguousarray(_centre(pixels, self.height, self.width).transpose(2, 0, 1))

    def from_array(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(N, C, H, W) uint8 of images (N, H, W, 1 or 3) uint8 of any size, each treated like a decoded image."""
        images = (Image.fromarray(p[..., 0] if p.shape[2] == 1 else p) for p in pixels)
        return np.stack([self.apply(image) for image in images])


def _centre(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The middle height x width of pixels (h, w, C), with black around it where they are smaller (as torchvision's center_crop)."""
    missing = max(0, height - pixels.shape[0]), max(0, width - pixels.shape[1])
    before = missing[0] // 2, missing[1] // 2
    padding = [(before[0], missing[0] - before[0]), (before[1], missing[1] - before[1]), (0, 0)]
    pixels = np.pad(pixels, padding) if any(missing) else pixels
    top, left = round((pixels.shape[0] - height) / 2), round((pixels.shape[1] - width) / 2)
    return pixels[top : top + height, left : left + width]


def png(image: NDArray[np.generic]) -> bytes:
    """A PNG file of an image (C, H, W), C 1 or 3: uint8, or floats in [0, 1] rounded to 8 bits. Not for the event loop."""
    levels = image if image.dtype == np.uint8 else np.rint(image.astype(np.float64).clip(0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
