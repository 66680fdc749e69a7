"""Pictures on their way: those of several layers, and one unit's while it grows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web import events, rendering
from striate_web.names import own, unit_number
from striate_web.views import layers, words
from striate_web.views.datasets import indexed_by, listed
from striate_web.views.portraits import Album, Making, picture_address
from striate_web.visit import Visit

_MOST_LAYERS = 64  # of one stream
_PREVIEWS = 32  # of a growing picture, about
_DEFAULT_STEPS = 256  # of the server


def stream_address(wanted: Iterable[tuple[str, str, range]], making: Making | None = None) -> str:
    """Makes the address of a stream of pictures.

    Args:
        wanted: Networks, layers, and numbers of their units, which rise by one.
        making: How they are made, None for as the server does by default.

    Returns:
        The address. Its "picture" events name the cell "N.UNIT" that the Nth of these is shown in.
    """
    query: dict[str, object] = {} if making is None else dict(making.query)
    for number, (model, layer, units) in enumerate(wanted):
        query |= {f"model{number}": model, f"layer{number}": layer}
        query |= {f"from{number}": units.start, f"to{number}": units.stop}
    return own("stream", query=query)


async def pictures(request: Request) -> Response:
    """Sends the addresses of pictures as the pictures are found or made."""
    visit = Visit(request)
    making = Making.of(visit)
    wanted = []
    for number in range(_MOST_LAYERS):
        if (model := visit.query.get(f"model{number}")) is None:
            break
        first = visit.number(f"from{number}", 0, 0, 10**6)
        last = visit.number(f"to{number}", first + 1, first + 1, first + 4096)
        wanted.append((model, visit.query.get(f"layer{number}", ""), range(first, last)))
    if not wanted:
        raise HTTPException(400, "A stream names at least one network and layer.")
    return events.stream(_pictures(visit, wanted, making))


async def _pictures(
    visit: Visit, wanted: list[tuple[str, str, range]], making: Making
) -> AsyncGenerator[str, None]:
    for number, (name, title, units) in enumerate(wanted):
        net = await visit.model(name)
        layer = layers.find(net, title)
        indexed = indexed_by(await listed(visit, net), layer.name)
        album = Album(visit, net, layer.name, making, indexed)
        async for portrait in album.all(range(units.start, min(units.stop, layer.units))):
            yield events.event(
                "picture",
                cell=f"{number}.{portrait.unit}",
                src=portrait.thumbnail,
                dead=portrait.dead,
            )


async def grow(request: Request) -> Response:
    """Sends one unit's picture while it grows, and then what it is worth."""
    visit = Visit(request)
    query = visit.query
    unit = unit_number(query.get("unit", ""))
    return events.stream(
        _grow(visit, query.get("model", ""), query.get("layer", ""), unit, Making.of(visit))
    )


async def _grow(
    visit: Visit, name: str, title: str, unit: int, making: Making
) -> AsyncGenerator[str, None]:
    net = await visit.model(name)
    layer = layers.find(net, title)
    indexed = indexed_by(await listed(visit, net), layer.name)
    album = Album(visit, net, layer.name, making, indexed)
    every = max(1, (making.steps or _DEFAULT_STEPS) // _PREVIEWS)
    call = net.visualize(
        making.objective(layer.name, unit), preview_every=every, timeout=3600, **making.options
    )
    async with call as pictures:
        async for progress in pictures:
            preview = visit.pictures.put(progress.pngs[0]) if progress.pngs else None
            yield events.event(
                "step",
                step=progress.step,
                steps=progress.steps,
                score=f"{progress.scores[0]:.3g}",
                src=picture_address(preview) if preview else None,
            )
    portrait = album.put(unit, pictures.result[0])
    html = rendering.render("unit/_certificate.html", sentences=words.certificate(portrait))
    yield events.event("result", src=portrait.source, html=html)


ROUTES: list[BaseRoute] = [Route(own("stream"), pictures), Route(own("grow"), grow)]
