"""How an image becomes a network's input."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from service.imaging.picture_files import MAX_PIXELS, BadImage, opaque

Pixels = npt.NDArray[np.uint8]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


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
            [self.apply(opaque(Image.fromarray(np.ascontiguousarray(plane)))) for plane in planes]
        )

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Compute to what an image is resized before the crop.

        Args:
            width, height: of the image in pixels, at least 1.

        Returns:
            (width, height) in pixels.

        Raises:
            BadImage: the image is so long and thin that it would pass 64 megapixels.
        """
        short = min(width, height)
        size = int(self.resize * width / short), int(self.resize * height / short)
        if short != self.resize and size[0] * size[1] > MAX_PIXELS:
            raise BadImage(
                f"the image has {width} x {height} pixels; with its short side resized to "
                f"{self.resize} it would have "
                f"{size[0]} x {size[1]}, and at most {MAX_PIXELS} are allowed"
            )
        return (width, height) if short == self.resize else size

    def _resized(self, image: Image.Image) -> Image.Image:
        size = self.resized(*image.size)
        return image if size == image.size else image.resize(size, _RESAMPLING[self.interpolation])

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
