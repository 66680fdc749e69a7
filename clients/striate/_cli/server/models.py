"""The command that lists models."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from striate._cli.command import command
from striate._cli.session import Session
from striate.results.models import MODEL_COLUMNS


@command()
def models(
    session: Session,
    available: Annotated[
        bool, typer.Option("--available", help="Also those that can be loaded by name.")
    ] = False,
) -> None:
    """List the models."""
    found = session.service.models(include_available=available)
    session.screen.result({"models": [asdict(info) for info in found]})
    session.screen.listing(MODEL_COLUMNS, found)
