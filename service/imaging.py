"""Images at the edge of the service: bytes to pixels of the size that a network takes, and back to
PNG.
"""

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

MAX_BYTES = 16 * 2**20
MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP")

Pixels = npt.NDArray[np.uint8]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class BadImage(ValueError):
    """Bytes or an array that cannot be taken for an image; the message says why."""


def decode(data: bytes) -> Image.Image:
    """Decode a PNG, JPEG or WebP file into an 8-bit image of mode "L" or "RGB".

    EXIF orientation is applied, alpha is composited over white, 16-bit samples keep their high
    byte, CMYK becomes RGB, and of an animation the first frame is taken.

    Args:
        data: bytes of the file, at most 16 MiB.

    Returns:
        The image.

    Raises:
        BadImage: the file is empty, larger than 16 MiB or 64 megapixels, of another format,
            truncated or corrupt.
    """
    if not data:
        raise BadImage("the image is empty")
    if len(data) > MAX_BYTES:
        raise BadImage(f"the image file has {len(data)} bytes; at most {MAX_BYTES} are allowed")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)  # reads the header alone
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(
            f"the image has too many pixels; at most {MAX_PIXELS} are allowed"
        ) from error
    except Exception as error:  # what hostile bytes make Pillow raise is open-ended
        raise BadImage("the image is no readable PNG, JPEG or WebP file") from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise BadImage(
                f"the image has {image.width} x {image.height} pixels; at most "
                f"{MAX_PIXELS} are allowed"
            )
        try:
            image.load()
            return _opaque(_eight_bit(ImageOps.exif_transpose(image)))
        except Exception as error:
            raise BadImage(f"the {image.format} image is truncated or corrupt: {error}") from error


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


def _opaque(image: Image.Image) -> Image.Image:
    """The image over white, in mode "L" if it is gray and "RGB" if not."""
    gray = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("L" if gray else "RGB")


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input: the short side is resized, the centre cropped, (pixel
    - mean) / std applied.

    Attributes:
        channels: 1 (colour becomes luma, ITU-R 601-2) or 3 (gray is repeated).
        height, width: of the network's input, in pixels.
        resize: short side in pixels before the crop.
        interpolation: of the resize, always with antialiasing when shrinking.
        mean, std: per channel, in pixel units of [0, 1]; applied by the network, not here.
    """

    channels: int
    height: int
    width: int
    resize: int
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        return self.channels, self.height, self.width

    def apply(self, image: Image.Image) -> Pixels:
        """Resize and crop an image, in 8 bits as torchvision's Resize and CenterCrop do.

        Args:
            image: of any mode that Pillow converts to gray or RGB.

        Returns:
            (C, H, W), uint8.

        Raises:
            BadImage: the image is so long and thin that it would pass 64 megapixels when its short
                side is resized.
        """
        image = self._centre(self._resized(image.convert("L" if self.channels == 1 else "RGB")))
        pixels = np.asarray(image)
        return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))

    def from_array(self, images: npt.NDArray[Any]) -> Pixels:
        """Preprocess an array of images, each treated like a decoded one.

        Args:
            images: (N, H, W, C'), uint8, where C' is 1 (gray), 3 (RGB) or 4 (RGB and alpha).

        Returns:
            (N, C, H, W), uint8, of the network's input size.

        Raises:
            BadImage: the array is empty, of another type or shape, or its images exceed 64
                megapixels, as sent or resized.
        """
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[3] not in (1, 3, 4)
            or not len(images)
        ):
            way = "; transpose(0, 2, 3, 1) brings the channels to the end"
            first = images.ndim == 4 and images.dtype == np.uint8 and images.shape[1] in (1, 3, 4)
            raise BadImage(
                f"expected uint8 of shape (N, H, W, 1, 3 or 4), not {images.dtype} of "
                f"shape {images.shape}{way if first else ''}"
            )
        if not 0 < images.shape[1] * images.shape[2] <= MAX_PIXELS:
            raise BadImage(
                f"images of {images.shape[2]} x {images.shape[1]} pixels; from 1 to "
                f"{MAX_PIXELS} are allowed"
            )
        planes = (i[:, :, 0] if i.shape[2] == 1 else i for i in images)
        return np.stack(
            [self.apply(_opaque(Image.fromarray(np.ascontiguousarray(plane)))) for plane in planes]
        )

    def _resized(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        short = min(width, height)
        if short == self.resize:
            return image
        size = int(self.resize * width / short), int(self.resize * height / short)
        if size[0] * size[1] > MAX_PIXELS:
            raise BadImage(
                f"the image has {width} x {height} pixels; with its short side resized to "
                f"{self.resize} it would have "
                f"{size[0]} x {size[1]}, and at most {MAX_PIXELS} are allowed"
            )
        return image.resize(size, _RESAMPLING[self.interpolation])

    def _centre(self, image: Image.Image) -> Image.Image:
        """The centre of the image, in black borders where it is smaller than the network's
        input.
        """
        missing = max(self.width - image.width, 0), max(self.height - image.height, 0)
        if any(missing):
            left, top = missing[0] // 2, missing[1] // 2
            image = ImageOps.expand(image, (left, top, missing[0] - left, missing[1] - top))
        left, top = round((image.width - self.width) / 2), round((image.height - self.height) / 2)
        return image.crop((left, top, left + self.width, top + self.height))


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
    """
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
