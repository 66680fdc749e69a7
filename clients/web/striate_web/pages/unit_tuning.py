"""The gratings that one unit answers to."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web.names import own, unit_number
from striate_web.pages.layer import tuning
from striate_web.pages.unit import place
from striate_web.views import plots
from striate_web.visit import Visit


async def show(request: Request) -> Response:
    """Measures a unit's tuning."""
    visit = Visit(request)
    query = visit.query
    where = await place(
        visit, query.get("model", ""), query.get("layer", ""), unit_number(query.get("unit", ""))
    )
    if where.layer.layer is None or where.layer.layer.receptive_field is None:
        raise HTTPException(404, "A unit without rows and columns has no orientation.")
    found = await tuning(visit, where.net, where.layer)
    curves = found.responses[where.unit]  # (wavelengths, orientations)
    tuned = found.units[where.unit]
    low, high = float(curves.min()), float(curves.max())
    lines = [
        (wavelength, plots.line([float(value) for value in curve], low, high))
        for wavelength, curve in zip(found.wavelengths, curves, strict=True)
    ]
    return visit.page(
        "unit/tuning.html",
        where=where,
        tuned=tuned,
        best=min(found.wavelengths, key=lambda one: abs(one - tuned.wavelength)),
        lines=lines,
        orientations=found.orientations,
        low=low,
        high=high,
        width=plots.WIDTH,
        height=plots.HEIGHT,
    )


ROUTES: list[BaseRoute] = [Route(own("tuning"), show)]
