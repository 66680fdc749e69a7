"""The demo's page: sections of captioned pictures and tables in one HTML file that needs no
other.
"""

import base64
import html as escape
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from interp.attack.ball import Ball
from interp.attack.evaluate import NOISE
from interp.seeds import generators
from striate._formats.pictures import grid

STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #555; --line: #ddd; --page: #fff;
  --wrong: #b00; --check: #d8d8d8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --soft: #a8a8a8; --line: #3a3a3a; --page: #161616;
  --wrong: #ff7b72; --check: #b4b4b4 }
}
* { box-sizing: border-box }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1230px; margin: 2em auto; padding: 0 1em }
body { color: var(--ink); background: var(--page) }
h1 { margin-bottom: 0 }
h2 { margin: 2em 0 0.2em } p { margin: 0.3em 0 0.8em; color: var(--soft); max-width: 60em }
a { color: inherit }
nav { margin: 1em 0; display: flex; flex-wrap: wrap; gap: 0.2em 1.2em; font-size: 13px }
.row, .row > div { display: flex; flex-wrap: wrap; gap: 8px 5px; align-items: flex-start }
.row { margin: 10px 0 } .row > div { flex: 1 1 16em; min-width: 0 }
.row > b { width: 8.5em; flex: none; font-weight: 600; overflow-wrap: anywhere }
figure { margin: 0; width: 76px } figure.large { width: auto; max-width: 100% }
img { width: 76px; height: 76px; object-fit: contain; image-rendering: pixelated; display: block }
figure.large img { width: auto; height: auto; max-width: 100% }
.smooth img { image-rendering: auto }
.clear img { background: repeating-conic-gradient(var(--check) 0 25%, #fff 0 50%) 0 0 / 12px 12px }
figcaption { font-size: 11px; line-height: 1.25; white-space: pre-line;
  color: var(--soft); overflow-wrap: anywhere }
svg { color: var(--soft); max-width: 100% }
.wrong figcaption { color: var(--wrong); font-weight: 600 }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: 3px 12px; border-bottom: 1px solid var(--line); text-align: right }
td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left }
@media (max-width: 700px) { .row > b { width: 100% } td, th { padding: 3px 6px; font-size: 13px } }
"""
Look = Literal["small", "large", "smooth", "clear"]
_CLASSES: dict[Look, str] = {
    "small": "",
    "large": "large",
    "smooth": "large smooth",
    "clear": "clear",
}


@dataclass
class Section:
    """A heading, a sentence, and rows of pictures."""

    title: str
    text: str
    parts: list[str] = field(default_factory=list)

    def row(
        self,
        name: str,
        pictures: Sequence[tuple[bytes, str]],
        wrong: Sequence[bool] = (),
        look: Look = "small",
    ) -> None:
        """Add a row of (PNG, caption); captions of those that are `wrong` stand out.

        look: "small" pictures are enlarged, "large" ones shown at their own size, "smooth" ones too
        and without visible pixels, "clear" ones are small and lie on a chessboard.
        """
        figures = []
        for number, (png, caption) in enumerate(pictures):
            classes = _CLASSES[look] + (" wrong" if number < len(wrong) and wrong[number] else "")
            data = base64.b64encode(png).decode()
            text = escape.escape(caption)
            figures.append(
                f'<figure class="{classes}"><img src="data:image/png;base64,{data}" alt="{text}">'
                f"<figcaption>{text}</figcaption></figure>"
            )
        self.markup(name, "".join(figures))

    def markup(self, name: str, markup: str) -> None:
        """Add a row of HTML."""
        self.parts.append(f'<div class="row"><b>{escape.escape(name)}</b><div>{markup}</div></div>')

    def link(self, address: str, text: str) -> None:
        """Add a link to a page beside this one."""
        self.parts.append(f'<p><a href="{escape.escape(address)}">{escape.escape(text)}</a></p>')

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table; the first row is its head."""
        cells = [
            "".join(f"<{tag}>{escape.escape(cell)}</{tag}>" for cell in row)
            for tag, row in zip(["th"] + ["td"] * len(rows), rows, strict=False)
        ]
        self.parts.append(
            '<div class="wide"><table>'
            + "".join(f"<tr>{row}</tr>" for row in cells)
            + "</table></div>"
        )


def rates(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The table of an attack's rates, beginning with its head."""
    head = ["attack", "epsilon", "clean", "under attack", "under noise", "image-gradients"]
    return [head] + [
        [
            r["attack"],
            r["epsilon"],
            *(
                f"{r[key]:.1%}"
                for key in ("clean_accuracy", "robust_accuracy", "noise_robust_accuracy")
            ),
            str(r["gradients"]),
        ]
        for r in results
    ]


def noisy(clean: NDArray[np.float32], epsilon: float) -> NDArray[np.float32]:
    """Images (N, C, H, W) under the very noise that the server measured with seed 0 on 8-bit
    images.

    The noise is a function of seed and row alone, so that it can be drawn here again.
    """
    x = torch.from_numpy(clean)
    ball = Ball(x, torch.full((len(x), 1, 1, 1), epsilon), eight_bit=True)
    return ball.image(ball.noise(generators(NOISE, 0, len(x)))).numpy()


def pngs(images: NDArray[np.float32]) -> list[bytes]:
    """PNG files of images (N, C, H, W) in [0, 1]."""
    return [
        png(Image.fromarray(i[0] if len(i) == 1 else i.transpose(1, 2, 0)))
        for i in np.rint(images * 255).astype(np.uint8)
    ]


def png(picture: Image.Image) -> bytes:
    """A picture's PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def enlarged(picture: Image.Image, zoom: int) -> Image.Image:
    """The picture with its pixels visible."""
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def sheet(images: Sequence[Image.Image], columns: int, zoom: int = 3) -> Image.Image:
    """Small pictures in rows of `columns`, enlarged with their pixels visible."""
    return grid([enlarged(image, zoom) for image in images], columns, gap=4)


def html(sections: Sequence[Section]) -> str:
    """The whole page."""
    contents = "".join(
        f'<a href="#{place}">{escape.escape(s.title)}</a>' for place, s in enumerate(sections)
    )
    body = "".join(
        f'<h2 id="{place}">{escape.escape(s.title)}</h2><p>{escape.escape(s.text)}</p>'
        f"{''.join(s.parts)}"
        for place, s in enumerate(sections)
    )
    view = '<meta name="viewport" content="width=device-width">'
    head = f'<meta charset="utf-8">{view}<title>Striate demo</title><style>{STYLE}</style>'
    text = (
        "What each unit of a network sees, and what fools the whole. Every picture was asked "
        "for over gRPC."
    )
    return (
        f'<!doctype html><html lang="en">{head}<h1>Striate</h1><p>{text}</p>'
        f"<nav>{contents}</nav>{body}</html>\n"
    )
