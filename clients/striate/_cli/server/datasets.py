"""The command that lists data sets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from striate._cli.command import command
from striate._cli.session import Session
from striate.results.datasets import DATASET_COLUMNS


@command()
def datasets(
    session: Session,
    model: Annotated[
        str | None,
        typer.Option(help="Also show how the labels map to this model's classes, and its indexes."),
    ] = None,
) -> None:
    """List the data sets that the server reads."""
    found = session.service.datasets(model)
    session.screen.result({"datasets": [asdict(dataset) for dataset in found]})
    session.screen.listing(DATASET_COLUMNS, found)
