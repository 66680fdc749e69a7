"""The command that classifies images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from striate._cli.arguments import ModelName, Pictures
from striate._cli.command import command
from striate._cli.images import image_files
from striate._cli.session import Session


@command()
def classify(
    session: Session,
    model: ModelName,
    images: Pictures,
    k: Annotated[int, typer.Option("-k", min=1, help="Classes an image.")] = 5,
) -> None:
    """Name the most probable classes of images."""
    files = image_files(images)
    found = session.service.model(model).classify(list(files), k=k)
    rows = list(zip(files, found, strict=True))
    session.screen.result(
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
    session.screen.table(("image", "class", "index", "probability"), cells)
