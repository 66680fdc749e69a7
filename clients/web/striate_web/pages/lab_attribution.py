"""Which pixels of an image a class hangs on, by the method of the visitor's choice."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web.names import own
from striate_web.pages.lab import ATTRIBUTIONS, image_of
from striate_web.views.portraits import picture_address
from striate_web.visit import Visit


async def show(request: Request) -> Response:
    """Attributes the network's own prediction."""
    visit = Visit(request)
    png, method = image_of(visit), visit.choice("method", ATTRIBUTIONS)
    net = await visit.model(visit.query.get("model", ""))
    found = await net.attribute(png, method)  # type: ignore[arg-type]
    put = visit.pictures.put
    return visit.page(
        "lab/attribution.html",
        net=net,
        method=method,
        label=found.labels[0],
        score=float(found.scores[0]),
        overlay=picture_address(put(found.overlay_pngs[0])),
        heat=picture_address(put(found.heat_map_pngs[0])),
    )


ROUTES: list[BaseRoute] = [Route(own("lab", "attribution"), show)]
