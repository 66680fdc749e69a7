"""The command that checks the server's health."""

from __future__ import annotations

from typing import Annotated

import typer

from striate._cli.command import command
from striate._cli.exit_codes import BAR_MISSED
from striate._cli.session import Session

_HEALTH_TIMEOUT = 10.0  # seconds; a health check that hangs is no health check


@command()
def health(
    session: Session,
    model: Annotated[str | None, typer.Option(help="Of one model. Default: of the server.")] = None,
    ready: Annotated[
        bool,
        typer.Option(
            "--ready", help="Whether the server gets work done, not only whether it answers."
        ),
    ] = False,
) -> None:
    """Say whether the server is SERVING; exit code 0 only if it is."""
    timeout = _HEALTH_TIMEOUT if session.timeout is None else session.timeout
    status = session.service.health(model, ready=ready, timeout=timeout)
    session.screen.result(
        {"status": status, "model": model, "service_version": session.service.version}
    )
    session.screen.line(status)
    if status != "SERVING":
        raise typer.Exit(BAR_MISSED)
