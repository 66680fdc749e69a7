"""One audit: how far it is, and its report in place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web.names import own
from striate_web.pages.running import work
from striate_web.visit import Visit

if TYPE_CHECKING:
    from striate import AuditReport

# The report is a page of its own with styles in it, written by the server: it may do nothing else.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
)


async def watch(request: Request) -> Response:
    """Shows how far an audit is, or its report."""
    visit = Visit(request)
    name = visit.query.get("operation", "")
    operation = await visit.service.operation(name)
    now = work(operation)
    report = await visit.service.audit_report(name) if now.ended and not now.problem else None
    return visit.page("audit/page.html", work=now, report=report)


async def show(request: Request) -> Response:
    """Sends the report as the server wrote it, to be shown in a frame of the microscope's page."""
    visit = Visit(request)
    name = visit.query.get("operation", "")
    operation = await visit.service.operation(name)
    if not operation.done:
        raise HTTPException(409, "This audit has not ended.")
    report = await visit.service.audit_report(name)
    html = await visit.service.run(_html, report)
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "private, no-cache"}
    return Response(html, headers=headers, media_type="text/html")


def _html(report: AuditReport) -> bytes:
    with tempfile.TemporaryDirectory(prefix="striate-web-") as folder:
        return report.to_html(Path(folder) / "report.html").read_bytes()


ROUTES: list[BaseRoute] = [
    Route(own("audits", "watch"), watch),
    Route(own("audits", "report"), show),
]
