"""The different things that one unit sees."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web.names import own, unit_number
from striate_web.pages.unit import place
from striate_web.views.portraits import picture_address
from striate_web.visit import Visit


@dataclass(frozen=True)
class FacetView:
    """A facet with the addresses of its pictures."""

    share: float
    picture: str
    crops: list[str]


async def show(request: Request) -> Response:
    """Finds a unit's facets."""
    visit = Visit(request)
    query = visit.query
    where = await place(
        visit, query.get("model", ""), query.get("layer", ""), unit_number(query.get("unit", ""))
    )
    if not where.dataset:
        raise HTTPException(404, "Facets are found among exemplars: build an index first.")
    facets = await where.net.facets(where.name, dataset=where.dataset)
    put = visit.pictures.put
    views = [
        FacetView(
            one.share,
            picture_address(put(one.visualization.png)),
            [picture_address(put(png)) for png in one.crop_pngs],
        )
        for one in facets
    ]
    return visit.page("unit/facets.html", where=where, facets=views, by_layer=facets.by_layer)


ROUTES: list[BaseRoute] = [Route(own("facets"), show)]
