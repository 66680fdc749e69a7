"""What a notebook shows of results, as HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from striate._formats.pictures import decode

_SHOWN_PIXELS = 160  # small pictures are shown at about this size, with their pixels visible


def figure(encoded: bytes, caption: str) -> str:
    """Shows one picture with its caption.

    Args:
        encoded: The picture, a PNG file; small ones are enlarged with their pixels visible.
        caption: Plain text.

    Returns:
        HTML.
    """
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
    """Shows a table.

    Args:
        header: Names of the columns.
        rows: Their cells; every one is escaped.

    Returns:
        HTML.
    """
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def facts(rows: Sequence[tuple[str, object]]) -> str:
    """Shows names and their values, one a row; empty values are left out.

    Args:
        rows: The pairs; everything is escaped.

    Returns:
        HTML.
    """
    body = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name.replace('_', ' '))}</th>"
        f"<td style='text-align:left'>{html.escape(_text(value))}</td></tr>"
        for name, value in rows
        if value not in (None, "", ())
    )
    return f"<table>{body}</table>"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
