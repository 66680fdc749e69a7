"""Files: pictures by digest, filters, and what comes along."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web.names import own, parts
from striate_web.visit import Visit

FOREVER = "private, max-age=31536000, immutable"
_NAME = re.compile(r"([0-9a-f]{64})(?:-([1-9][0-9]{1,3}))?\.png")
_SIDES = (96, 192)  # pixels of thumbnails: others are not made, lest somebody fill the memory
_TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain",
}


async def picture(request: Request) -> Response:
    """Sends a picture that was shown lately."""
    visit = Visit(request)
    match = _NAME.fullmatch(request.path_params["name"])
    side = int(match[2]) if match and match[2] else None
    if match is None or (side is not None and side not in _SIDES):
        raise HTTPException(404)
    pictures = visit.pictures
    png = (
        pictures.get(match[1])
        if side is None
        else await to_thread.run_sync(pictures.thumbnail, match[1], side)
    )
    if png is None:
        raise HTTPException(404, "This picture is forgotten: load the page that showed it anew.")
    return png_file(request, png, FOREVER)


def png_file(request: Request, png: bytes, keep: str) -> Response:
    """Sends a picture, or "not changed" where the browser has it.

    Args:
        request: The request.
        png: The file.
        keep: How long the browser may keep it, as Cache-Control says it.

    Returns:
        The response.
    """
    tag = f'"{hashlib.sha256(png).hexdigest()}"'
    headers = {"Cache-Control": keep, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(png, headers=headers, media_type="image/png")


async def filters(request: Request) -> Response:
    """Sends the picture of a network's first filters, or of a layer's."""
    visit = Visit(request)
    _, _, *named = parts(request.scope)
    if len(named) not in (1, 2):
        raise HTTPException(404)
    net = await visit.model(named[0])
    layer = named[1] if len(named) == 2 else None
    key = ("filters", net.info.digest, layer)
    digest = visit.found.get(key)
    png = visit.pictures.get(digest) if digest else None
    if png is None:
        png = (await net.filters(layer, order="hue" if layer is None else "channel")).png
        visit.found.put(key, visit.pictures.put(png))
    return png_file(request, png, "private, no-cache")


async def static(request: Request) -> Response:
    """Sends a file that comes along."""
    name = request.path_params["name"]
    kind = _TYPES.get(name.rpartition(".")[2])
    file = resources.files("striate_web").joinpath("static", name)
    if kind is None or "/" in name or "\\" in name or not file.is_file():
        raise HTTPException(404)
    keep = "public, max-age=31536000, immutable" if "v" in request.query_params else "no-cache"
    return Response(file.read_bytes(), headers={"Cache-Control": keep}, media_type=kind)


async def favicon(request: Request) -> Response:
    """Sends the icon where browsers look for it by themselves."""
    file = resources.files("striate_web").joinpath("static", "favicon.svg")
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(file.read_bytes(), headers=headers, media_type="image/svg+xml")


ROUTES: list[BaseRoute] = [
    Route(own("pictures") + "/{name}", picture),
    Route(own("filters") + "/{rest:path}", filters),
    Route(own("static") + "/{name}", static),
    Route("/favicon.ico", favicon),
]
