"""The command that lists a model's layers."""

from __future__ import annotations

from dataclasses import asdict

from striate._cli.arguments import ModelName
from striate._cli.command import command
from striate._cli.session import Session
from striate.results.models import LAYER_COLUMNS


@command()
def layers(session: Session, model: ModelName) -> None:
    """List a model's layers in the order of the forward pass."""
    found = session.service.model(model).layers
    session.screen.result({"model": model, "layers": [asdict(layer) for layer in found]})
    session.screen.listing(LAYER_COLUMNS, found)
