"""Commands about what the units of a network see."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from striate._cli.console import (
    DEFAULT_SERVER,
    Json,
    ModelName,
    Pictures,
    Server,
    Timeout,
    image_files,
    session,
)


def classify(
    model: ModelName,
    images: Pictures,
    k: Annotated[int, typer.Option("-k", min=1, help="Classes an image.")] = 5,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Name the most probable classes of images."""
    with session(server, timeout, as_json) as (service, screen):
        files = image_files(images)
        found = service.model(model).classify(list(files), k=k)
        rows = list(zip(files, found, strict=True))
        screen.result(
            {
                "images": [
                    {"file": str(file), "predictions": [asdict(p) for p in predictions]}
                    for file, predictions in rows
                ],
                "provenance": asdict(found.provenance),
            }
        )
        cells = (
            (file, p.label, p.index, f"{p.probability:.1%}")
            for file, predictions in rows
            for p in predictions
        )
        screen.table(("image", "class", "index", "probability"), cells)
