"""The demo's page: sections of captioned pictures and tables in one HTML file that needs no other."""

import base64
import html as escape
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from interp.attack import NOISE
from interp.ball import Ball
from interp.seeds import generators
from striate.pictures import grid

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1230px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
h1 { margin-bottom: 0 } h2 { margin: 2em 0 0.2em } p { margin: 0.3em 0 0.8em; color: #444; max-width: 60em }
.row { display: flex; flex-wrap: wrap; gap: 5px; align-items: flex-start; margin: 6px 0 }
.row > b { width: 8.5em; flex: none; font-weight: 600; overflow-wrap: anywhere }
figure { margin: 0; width: 60px } figure.large { width: auto }
img { width: 60px; height: 60px; image-rendering: pixelated; display: block }
figure.large img { width: auto; height: auto; max-width: 900px }
figcaption { font-size: 11px; line-height: 1.2; white-space: pre-line; color: #555; overflow-wrap: anywhere }
.wrong figcaption { color: #b00; font-weight: 600 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: 3px 12px; border-bottom: 1px solid #ddd; text-align: right }
td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left }
"""


@dataclass
class Section:
    """A heading, a sentence, and rows of pictures; `zoom` 1 shows pictures at their own size."""

    title: str
    text: str
    zoom: int = 0
    parts: list[str] = field(default_factory=list)

    def row(self, name: str, pictures: Sequence[tuple[bytes, str]], wrong: Sequence[bool] = ()) -> None:
        """Add a row of (PNG, caption); captions of those that are `wrong` stand out."""
        figures = []
        for number, (png, caption) in enumerate(pictures):
            classes = " ".join((["large"] if self.zoom else []) + (["wrong"] if number < len(wrong) and wrong[number] else []))
            data = base64.b64encode(png).decode()
            text = escape.escape(caption)
            figures.append(
                f'<figure class="{classes}"><img src="data:image/png;base64,{data}" alt="{text}"><figcaption>{text}</figcaption></figure>'
            )
        self.parts.append(f'<div class="row"><b>{escape.escape(name)}</b>{"".join(figures)}</div>')

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table; the first row is its head."""
        cells = [
            "".join(f"<{tag}>{escape.escape(cell)}</{tag}>" for cell in row)
            for tag, row in zip(["th"] + ["td"] * len(rows), rows, strict=False)
        ]
        self.parts.append("<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>")


def rates(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The table of an attack's rates, beginning with its head."""
    head = ["attack", "epsilon", "clean", "under attack", "under noise", "image-gradients"]
    return [head] + [
        [
            r["attack"],
            r["epsilon"],
            *(f"{r[key]:.1%}" for key in ("clean_accuracy", "robust_accuracy", "noise_robust_accuracy")),
            str(r["gradients"]),
        ]
        for r in results
    ]


def noisy(clean: NDArray[np.float32], epsilon: float) -> NDArray[np.float32]:
    """Images (N, C, H, W) under the very noise that the server measured with seed 0 on 8-bit images.

    The noise is a function of seed and row alone, so that it can be drawn here again.
    """
    x = torch.from_numpy(clean)
    ball = Ball(x, torch.full((len(x), 1, 1, 1), epsilon), eight_bit=True)
    return ball.image(ball.noise(generators(NOISE, 0, len(x)))).numpy()


def pngs(images: NDArray[np.float32]) -> list[bytes]:
    """PNG files of images (N, C, H, W) in [0, 1]."""
    files = []
    for image in np.rint(images * 255).astype(np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


def sheet(images: Sequence[Image.Image], columns: int, zoom: int = 3) -> Image.Image:
    """Small pictures in rows of `columns`, enlarged with their pixels visible."""
    return grid([image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST) for image in images], columns, gap=4)


def html(sections: Sequence[Section]) -> str:
    """The whole page."""
    body = "".join(f"<h2>{escape.escape(s.title)}</h2><p>{escape.escape(s.text)}</p>{''.join(s.parts)}" for s in sections)
    head = f'<meta charset="utf-8"><title>Striate demo</title><style>{STYLE}</style>'
    text = "What each unit of a network sees, and what fools the whole. Every picture was asked for over gRPC."
    return f'<!doctype html><html lang="en">{head}<h1>Striate</h1><p>{text}</p>{body}</html>\n'
