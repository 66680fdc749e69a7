"""The first page: the networks, the data sets, and what runs."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate import ModelInfo
from striate_web.pages.running import running
from striate_web.pages.stream import stream_address
from striate_web.views.layers import LOGITS
from striate_web.visit import Visit

_CLASSES = 10  # pictures a network


async def home(request: Request) -> Response:
    """Shows what the server hosts."""
    visit = Visit(request)
    models, datasets, work = await asyncio.gather(
        visit.service.models(), visit.service.datasets(), running(visit)
    )
    serving = [model for model in models if model.state == "serving"]
    wanted = [(model.name, LOGITS, class_range(model)) for model in serving]
    return visit.page(
        "home.html",
        models=serving,
        classes={model.name: class_range(model) for model in serving},
        datasets=datasets,
        running=work,
        stream=stream_address(wanted) if wanted else "",
    )


def class_range(model: ModelInfo) -> range:
    """The classes whose pictures stand for a network."""
    return range(min(_CLASSES, len(model.classes)))


ROUTES: list[BaseRoute] = [Route("/", home)]
