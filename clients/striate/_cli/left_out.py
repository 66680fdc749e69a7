"""Images that could not be used: the option that leaves them out, and lines that tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from striate._cli.screen import Screen
from striate.results.datasets import LeftOutImage

SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out images that cannot be used, and list them; else one ends it."
    ),
]
_MOST_LINES = 10


def so_far(done: int, total: int, left_out: int) -> str:
    """How many images are done, in words, and how many of them were left out."""
    images = f"{done} of {total} images"
    return f"{images}, {left_out} of them left out" if left_out else images


def print_left_out(screen: Screen, count: int, images: Sequence[LeftOutImage]) -> None:
    """Prints how many images were left out, and the first by name; nothing if there are none."""
    if not count:
        return
    screen.line(f"{count} image{'s' * (count != 1)} could not be used and were left out:")
    for image in images[:_MOST_LINES]:
        screen.line(f"  {image}")
    if count > _MOST_LINES:
        screen.line(f"  and {count - _MOST_LINES} more; --json lists up to 100")
