"""The lab: an image of the visitor's own, seen by a network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate_web.names import own
from striate_web.views import layers
from striate_web.views.drawing import as_png
from striate_web.views.portraits import picture_address
from striate_web.visit import Visit

if TYPE_CHECKING:
    from striate.aio import AsyncModel

ATTRIBUTIONS = (
    "integrated-gradients",
    "saliency",
    "smooth-grad",
    "grad-cam",
    "guided-backprop",
    "input-x-gradient",
    "lrp",
    "occlusion",
)
ATTACKS = ("PGD", "FGSM", "APGD", "Square")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAPS, _STRONGEST = 16, 6  # feature maps shown of a layer, and units named below them


def image_of(visit: Visit) -> bytes:
    """Finds the image that an address names by its digest.

    Raises:
        HTTPException: It names none, or one that is forgotten (404).
    """
    digest = visit.query.get("image", "")
    png: bytes | None = visit.pictures.get(digest) if _DIGEST.fullmatch(digest) else None
    if png is None:
        raise HTTPException(404, "The lab has forgotten this image: give it again.")
    return png


async def show(request: Request) -> Response:
    """Shows the lab, with the image that the address names, if any."""
    visit = Visit(request)
    models = [one for one in await visit.service.models() if one.state == "serving"]
    if not models:
        raise HTTPException(404, "No network is loaded.")
    net = await visit.model(visit.query.get("model", "") or models[0].name)
    if visit.query.get("dataset"):
        return await _sample(visit, net)
    look = await _look(visit, net, image_of(visit)) if visit.query.get("image") else {}
    return visit.page(
        "lab/page.html", net=net, models=models, datasets=await visit.service.datasets(), look=look
    )


async def receive(request: Request) -> Response:
    """Takes an image: a file, or what was pasted or drawn; what is drawn is answered at once."""
    visit = Visit(request)
    form = await visit.form(files=1)
    file = form.get("image")
    data = b"" if file is None or isinstance(file, str) else await file.read()
    png = await visit.service.run(as_png, data)
    net = await visit.model(str(form.get("model", "")))
    digest = visit.pictures.put(png)
    if visit.is_part:
        return visit.page("lab/_look.html", net=net, look=await _look(visit, net, png))
    return visit.redirect(own("lab", query={"model": net.name, "image": digest}))


async def _sample(visit: Visit, net: AsyncModel) -> Response:
    """An image of a data set, as if it had been sent."""
    number = visit.number("number", 0, 0, 2**31)
    samples = await visit.service.samples(visit.query["dataset"], number, 1)
    if not samples:
        raise HTTPException(404, f"{visit.query['dataset']} has no image {number}.")
    digest = visit.pictures.put(await visit.service.run(as_png, samples[0].encoded))
    return visit.redirect(own("lab", query={"model": net.name, "image": digest}))


async def _look(visit: Visit, net: AsyncModel, png: bytes) -> dict[str, Any]:
    """What the network makes of an image: its classes, and its layers' feature maps."""
    digest = visit.pictures.put(png)
    key = ("look", net.info.digest, digest)
    found: dict[str, Any] | None = visit.found.get(key)
    if found is not None and all(visit.pictures.get(one) for one in found["digests"]):
        return found
    (predictions,) = await net.classify(png, k=5)
    volumes, digests = [], list[str]()
    for layer in layers.way(net.layers):
        maps = await net.activations(png, layer.name, k=_MAPS)
        digests.append(visit.pictures.put(maps.png))
        volumes.append((layer, picture_address(digests[-1]), maps.units[:_STRONGEST]))
    look: dict[str, Any] = {
        "digests": digests,
        "image": digest,
        "source": picture_address(digest),
        "predictions": predictions,
        "volumes": volumes,
        "attributions": ATTRIBUTIONS,
        "attacks": ATTACKS,
    }
    visit.found.put(key, look)
    return look


ROUTES: list[BaseRoute] = [
    Route(own("lab"), show),
    Route(own("lab", "images"), receive, methods=["POST"]),
]
