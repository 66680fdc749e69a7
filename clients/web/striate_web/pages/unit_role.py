"""What depends on one unit: the logits that it moves, and what PGD does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web.names import own, unit_number
from striate_web.pages.unit import place
from striate_web.visit import Visit

if TYPE_CHECKING:
    from striate import Dossier
    from striate_web.pages.unit import Place

_STEPS = 16  # of the dossier's own picture, which this page does not show
_LOGITS = 10  # shown: those that fall most and those that rise most
_IMAGES, _EPSILON = 64, 8 / 255


async def show(request: Request) -> Response:
    """Measures what depends on a unit."""
    visit = Visit(request)
    query = visit.query
    where = await place(
        visit, query.get("model", ""), query.get("layer", ""), unit_number(query.get("unit", ""))
    )
    if not where.dataset:
        raise HTTPException(404, "It is measured on the images of an index: build one first.")
    dossier = await _dossier(visit, where)
    shifts = sorted(dossier.logit_shifts, key=lambda one: -abs(one.mean))[:_LOGITS]
    return visit.page(
        "unit/role.html",
        where=where,
        shifts=sorted(shifts, key=lambda one: -one.mean),
        largest=max((abs(one.mean) for one in shifts), default=0.0) or 1.0,
        flip=next((one for one in dossier.flips if one.unit == where.unit), None),
        images=_IMAGES,
        units=where.layer.units,
    )


async def _dossier(visit: Visit, where: Place) -> Dossier:
    key = ("dossier", where.net.info.digest, where.name, where.dataset, visit.lately)
    found: Dossier | None = visit.found_large.get(key)
    return found or visit.found_large.put(
        key,
        await where.net.dossier(
            where.name,
            dataset=where.dataset,
            exemplars=1,
            images=_IMAGES,
            epsilon=_EPSILON,
            steps=_STEPS,
        ),
    )


ROUTES: list[BaseRoute] = [Route(own("role"), show)]
