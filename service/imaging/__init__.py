"""Images at the edge of the service: files to pixels of the size that a network takes, and back to
PNG.
"""

from service.imaging.picture_files import (
    FORMATS,
    MAX_BYTES,
    MAX_PIXELS,
    READABLE,
    BadImage,
    as_png,
    decode,
    encode_png,
    open_image,
    png,
)
from service.imaging.preprocessing import Interpolation, Pixels, Preprocessing

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "READABLE",
    "BadImage",
    "Interpolation",
    "Pixels",
    "Preprocessing",
    "as_png",
    "decode",
    "encode_png",
    "open_image",
    "png",
]
