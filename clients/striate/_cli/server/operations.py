"""The command that lists and cancels operations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from striate._api.operation import Operation
from striate._cli import completion
from striate._cli.command import command
from striate._cli.left_out import so_far
from striate._cli.session import Session
from striate.results.audit import AuditProgress
from striate.results.index import IndexProgress


@command()
def operations(
    session: Session,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="One operation. Default: all.",
            autocompletion=completion.operations,
        ),
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the named operation.")] = False,
) -> None:
    """List operations, or cancel one."""
    if cancel and name is None:
        raise typer.BadParameter("name the operation to cancel", param_hint="NAME")
    service = session.service
    if name is not None and cancel:
        service.operation(name).cancel()
    found = service.operations() if name is None else [service.operation(name)]
    session.screen.result({"operations": [_as_json(operation) for operation in found]})
    rows = ((o.name, _owner(o), "yes" if o.done else "no", _progress(o), o.error) for o in found)
    session.screen.table(("operation", "owner", "done", "progress", "error"), rows)


def _owner(operation: Operation) -> str:
    progress = operation.metadata
    return progress.owner if isinstance(progress, IndexProgress | AuditProgress) else ""


def _progress(operation: Operation) -> str:
    match operation.metadata:
        case IndexProgress() as p:
            images = so_far(p.images_done, p.images_total, p.images_left_out)
            return f"index {p.model} on {p.dataset}: {images}"
        case AuditProgress() as p:
            images = so_far(p.images_done, p.images_total, p.images_left_out)
            return f"audit {', '.join(p.models)} on {p.dataset}: {images}, {p.stage}"
    return ""


def _as_json(operation: Operation) -> dict[str, Any]:
    progress, error = operation.metadata, operation.error
    known = isinstance(progress, IndexProgress | AuditProgress)
    return {
        "name": operation.name,
        "done": operation.done,
        "progress": asdict(progress) if known else None,
        "error": None if error is None else f"{error.code.name}: {error}",
    }
