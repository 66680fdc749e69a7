"""The command that unloads a model."""

from __future__ import annotations

from striate._cli.arguments import ModelName
from striate._cli.command import command
from striate._cli.session import Session


@command()
def unload(session: Session, model: ModelName) -> None:
    """Unload a model."""
    freed = session.service.unload(model)
    session.screen.result({"model": model, "freed_bytes": freed})
    session.screen.line(f"{model}: {freed / 2**20:.1f} MiB given back")
