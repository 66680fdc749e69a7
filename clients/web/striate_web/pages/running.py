"""What runs on the server, and starting the building of an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate import AuditProgress, IndexProgress
from striate.errors import Unimplemented
from striate_web.errors import in_words
from striate_web.names import own
from striate_web.visit import Visit

if TYPE_CHECKING:
    from striate.aio import AsyncOperation

_SHOWN = 8  # operations, the latest first


@dataclass(frozen=True)
class Work:
    """An operation in words.

    Attributes:
        name: The server's name of it.
        what: What it does.
        done: Images so far.
        total: Images in all.
        ended: Whether it has ended.
        problem: Why it failed, "" if it has not.
    """

    name: str
    what: str
    done: int
    total: int
    ended: bool
    problem: str


async def running(visit: Visit) -> list[Work]:
    """Lists what runs and what has ended lately, what still runs first.

    Args:
        visit: The request.

    Returns:
        The operations; none from a server that lists none to the visitor.
    """
    found = [work(operation) for operation in await _operations(visit)]
    return sorted(found, key=lambda one: one.ended)[:_SHOWN]


async def audits(visit: Visit) -> list[Work]:
    """Lists the audits that the server remembers, what still runs first."""
    operations = await _operations(visit)
    found = [work(one) for one in operations if isinstance(one.metadata, AuditProgress)]
    return sorted(found, key=lambda one: one.ended)


async def _operations(visit: Visit) -> list[AsyncOperation]:
    try:
        return await visit.service.operations()
    except Unimplemented:
        return []


def work(operation: AsyncOperation) -> Work:
    """Words an operation as the server last told of it."""
    progress, error = operation.metadata, operation.error
    problem = "" if error is None else in_words(error).message
    match progress:
        case IndexProgress():
            what = f"Index of {progress.model} on {progress.dataset}: {', '.join(progress.layers)}"
        case AuditProgress():
            what = f"Audit of {', '.join(progress.models)} on {progress.dataset}"
        case _:
            return Work(operation.name, operation.name, 0, 0, operation.done, problem)
    done, total = progress.images_done, progress.images_total
    return Work(operation.name, what, done, total, operation.done, problem)


async def show(request: Request) -> Response:
    """Shows what runs, as a page or as the part of one that asks again and again."""
    visit = Visit(request)
    return visit.page("running.html", running=await running(visit))


async def build_index(request: Request) -> Response:
    """Starts to build the index of a layer."""
    visit = Visit(request)
    form = await visit.form()
    model, dataset, layer = (str(form.get(name, "")) for name in ("model", "dataset", "layer"))
    await visit.service.build_index(model, dataset, [layer])
    return visit.redirect(own("running"))


async def cancel(request: Request) -> Response:
    """Stops an operation."""
    visit = Visit(request)
    form = await visit.form()
    operation = await visit.service.operation(str(form.get("operation", "")))
    await operation.cancel()
    return visit.redirect(own("running"))


ROUTES: list[BaseRoute] = [
    Route(own("running"), show),
    Route(own("indexes"), build_index, methods=["POST"]),
    Route(own("cancel"), cancel, methods=["POST"]),
]
