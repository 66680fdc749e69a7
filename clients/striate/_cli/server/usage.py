"""The command that tells what one may have, has, and waits for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from striate._cli.command import command
from striate._cli.session import Session
from striate.results.usage import CAP_COLUMNS


@command()
def usage(
    session: Session,
    name: Annotated[
        str | None, typer.Option(help="Of another caller; for admins. Default: your own.")
    ] = None,
) -> None:
    """Tell what you may have, have and have had, and what waits before you."""
    found = session.service.usage(name)
    session.screen.result(asdict(found))
    session.screen.listing(CAP_COLUMNS, found.caps)
    who = f"{found.name}: " if found.name else ""
    session.screen.line(
        f"{who}{found.image_gradients} image gradients and {found.device_seconds:.1f} s of the "
        f"device so far, weight {found.weight:g}"
    )
    session.screen.line(
        f"{found.running_jobs} jobs run and {found.waiting_jobs} wait, the oldest for "
        f"{found.oldest_wait_seconds:.1f} s; of others {found.others_running_jobs} run and "
        f"{found.others_waiting_jobs} wait; {found.callers} callers take turns"
    )
