"""The demo's answers as one picture: a layer, its certificates, a unit's facets, and what answers
hang on.
"""

import io
from collections.abc import Sequence
from statistics import median

from PIL import Image, ImageDraw, ImageFont

import striate

WIDTH, MARGIN, GAP = 1200, 16, 4
TILE = 64  # pixels of a picture beside the sheet
SHEET_ZOOM = 2
_INK, _SOFT = "#222222", "#666666"
Row = tuple[str, bytes, list[striate.Attributions]]


class _Canvas:
    """White, with text and pixelated pictures."""

    def __init__(self, height: int) -> None:
        self.image = Image.new("RGB", (WIDTH, height), "white")
        self._draw = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, words: str, size: int = 13, fill: str = _SOFT) -> None:
        self._draw.multiline_text(
            (x, y), words, fill=fill, font=ImageFont.load_default(size), spacing=3
        )

    def picture(self, x: int, y: int, png: bytes, side: int = TILE) -> None:
        """A picture in a square of `side`."""
        with Image.open(io.BytesIO(png)) as small:
            scale = side / max(small.size)
            size = (max(1, round(small.width * scale)), max(1, round(small.height * scale)))
            self.image.paste(small.convert("RGB").resize(size, Image.Resampling.NEAREST), (x, y))


def compose(
    sheet: striate.LayerPictures, facets: Sequence[striate.Facets], rows: Sequence[Row]
) -> Image.Image:
    """1200 pixels wide: left the sheet with its certificates, right the facets, then a row of
    attributions a network.
    """
    side = sheet.sheet.width * SHEET_ZOOM
    canvas = _Canvas(side + 80)
    ratios = [
        one.visualization.certificate.ratio
        for one in sheet
        if one.visualization.certificate is not None
    ]
    known = [ratio for ratio in ratios if ratio is not None]
    above = (
        f"{sum(ratio > 1 for ratio in known)} of {len(known)} above the largest of the data "
        f"set, median {median(known):.1f} times"
    )
    canvas.text(MARGIN, 12, f"Every unit of {sheet.layer}, certified", 16, _INK)
    canvas.picture(MARGIN, 40, sheet.sheet_png, side)
    canvas.text(MARGIN, side + 48, above)
    left = MARGIN + side + 32
    y = _facets(canvas, left, facets)
    _attributions(canvas, left, y + 14, rows)
    return canvas.image


def _facets(canvas: _Canvas, left: int, facets: Sequence[striate.Facets]) -> int:
    canvas.text(
        left,
        12,
        f"The facets of {' and '.join(one.unit for one in facets)}, and their exemplars",
        16,
        _INK,
    )
    y = 40
    for facet in [facet for unit in facets for facet in unit[:2]]:
        canvas.picture(left, y, facet.visualization.png)
        for place, crop in enumerate(facet.crop_pngs):
            canvas.picture(left + (place + 1) * (TILE + GAP) + 8, y, crop)
        canvas.text(left + 5 * (TILE + GAP) + 20, y + 2, _facet_words(facet))
        y += TILE + GAP
    return y


def _facet_words(facet: striate.Facet) -> str:
    certificate = facet.visualization.certificate
    share = f"{facet.share:.0%} of its exemplars"
    if certificate is None or certificate.ratio is None or certificate.held_out_ratio is None:
        return share
    return (
        f"{share}\n{certificate.ratio:.1f} x the data set's "
        f"largest,\n{certificate.held_out_ratio:.1f} held out"
    )


def _attributions(canvas: _Canvas, left: int, y: int, rows: Sequence[Row]) -> None:
    canvas.text(left, y, "What an answer hangs on", 16, _INK)
    y += 28
    for place, one in enumerate(rows[0][2]):
        canvas.text(left + (place + 1) * (TILE + GAP + 6), y, one.method.replace("-", "\n", 1), 11)
    y += 30
    for name, image, found in rows:
        canvas.picture(left, y, image)
        for place, one in enumerate(found):
            canvas.picture(left + (place + 1) * (TILE + GAP + 6), y, one.overlay_pngs[0])
        canvas.text(
            left + (len(found) + 1) * (TILE + GAP + 6) + 4, y + 16, name.replace(": ", ":\n")
        )
        y += TILE + GAP
