"""The command that saves a model as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate._cli.arguments import ModelName
from striate._cli.command import command
from striate._cli.session import Session
from striate._formats.files import file_name


@command()
def export(
    session: Session,
    model: ModelName,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: MODEL.striate, here.")
    ] = None,
) -> None:
    """Save a model as a bundle, one file that another server hosts (striate-server --bundle)."""
    path = session.service.model(model).export(out or Path(f"{file_name(model)}.striate"))
    session.screen.result({"model": model, "path": str(path), "bytes": path.stat().st_size})
    session.screen.line(f"{path}: {path.stat().st_size} bytes")
