"""Addresses of networks, their layers and units: what is left when no other page is meant."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web.names import OWN, parts, unit_number
from striate_web.pages import layer, network, unit
from striate_web.visit import Visit


async def named(request: Request) -> Response:
    """Shows a network, a layer, a unit, or a unit's picture alone."""
    match parts(request.scope):
        case [first, *_] if first == OWN:
            raise HTTPException(404)
        case [model]:
            return await network.show(Visit(request), model)
        case [model, title]:
            return await layer.show(Visit(request), model, title)
        case [model, title, number] if number.endswith(".png"):
            chosen = unit_number(number.removesuffix(".png"))
            return await unit.picture(Visit(request), model, title, chosen)
        case [model, title, number]:
            return await unit.show(Visit(request), model, title, unit_number(number))
        case _:
            raise HTTPException(404)


ROUTES: list[BaseRoute] = [Route("/{rest:path}", named)]
