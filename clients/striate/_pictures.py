"""PNG bytes, PIL images and what a notebook shows of them."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_SHOWN_PIXELS = 160  # small pictures are shown at about this size, with their pixels visible


def decode(encoded: bytes) -> Image:
    """The picture in an image file. Raises OSError if it is none."""
    from PIL import Image

    picture = Image.open(io.BytesIO(encoded))
    picture.load()
    return picture


def encode_png(picture: Image) -> bytes:
    """A PNG file of the picture as it is meant to be seen: its EXIF orientation is applied, exotic
    modes become RGB.
    """
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"):
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def from_floats(pixels: NDArray[np.float32]) -> Image:
    """A picture of pixels (C, H, W) in [0, 1] with 1 or 3 channels, rounded to 8 bits."""
    import numpy as np
    from PIL import Image

    levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)


def to_floats(picture: Image) -> NDArray[np.float32]:
    """The pixels (C, H, W) in [0, 1] of an 8-bit gray or colour picture."""
    import numpy as np

    levels = np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB"))
    channels = levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)
    return channels.astype(np.float32) / np.float32(255)


def grid(pictures: Sequence[Image], columns: int = 8, gap: int = 2) -> Image:
    """The pictures in rows of `columns` on white, each cell as large as the largest of them."""
    from PIL import Image

    if not pictures:
        return Image.new("RGB", (1, 1), "white")
    columns = min(columns, len(pictures))
    width, height = (max(picture.size[axis] for picture in pictures) + gap for axis in (0, 1))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width - gap, rows * height - gap), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture.convert("RGB"), (place % columns * width, place // columns * height))
    return sheet


def figure(encoded: bytes, caption: str) -> str:
    """HTML of one picture with its caption; small ones are enlarged with their pixels visible."""
    width, height = decode(encoded).size
    zoom = max(1, _SHOWN_PIXELS // max(width, height))
    data = base64.b64encode(encoded).decode()
    return (
        '<figure style="display:inline-block;margin:4px;text-align:center;vertical-align:top">'
        f'<img src="data:image/png;base64,{data}" '
        f'style="zoom:{zoom};image-rendering:pixelated" alt="{html.escape(caption)}">'
        f"<figcaption "
        f'style="max-width:{max(_SHOWN_PIXELS, width * zoom)}px;margin:auto">'
        f"{html.escape(caption)}</figcaption></figure>"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """HTML of a table, every cell escaped."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def write(encoded: bytes, path: str | Path) -> Path:
    """Writes a PNG file, or another format if the path's ending names one. Raises OSError, and
    InvalidArgument for an unknown ending.
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
