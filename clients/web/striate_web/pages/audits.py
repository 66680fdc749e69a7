"""Audits: starting one, and those that the server remembers."""

from __future__ import annotations

import asyncio

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate import InvalidArgument
from striate_web.names import own
from striate_web.pages.running import audits
from striate_web.visit import Visit

ATTACKS = ("pgd", "fgsm", "apgd", "square")
NORMS = ("linf", "l2")


async def show(request: Request) -> Response:
    """Shows the audits, and a form for another."""
    visit = Visit(request)
    models, datasets, found = await asyncio.gather(
        visit.service.models(), visit.service.datasets(), audits(visit)
    )
    return visit.page(
        "audit/list.html",
        models=[one for one in models if one.state == "serving"],
        datasets=[one for one in datasets if one.labelled],
        audits=found,
        attacks=ATTACKS,
        norms=NORMS,
    )


async def start(request: Request) -> Response:
    """Starts an audit; what is wrong with the form, the server or the client says."""
    visit = Visit(request)
    form = await visit.form()
    norm = _word(form, "norm")
    operation = await visit.service.audit(
        [str(name) for name in form.getlist("model")],
        _word(form, "dataset"),
        threats={norm: _word(form, "epsilons").replace(",", " ").split()},
        attacks=[str(name) for name in form.getlist("attack")] or None,
        limit=_whole(form, "limit"),
        seed=_whole(form, "seed"),
    )
    return visit.redirect(own("audits", "watch", query={"operation": operation.name}))


def _word(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()


def _whole(form: FormData, name: str) -> int:
    text = _word(form, name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidArgument(f"{name} must be a whole number from 0")
    return int(text)


ROUTES: list[BaseRoute] = [
    Route(own("audits"), show, methods=["GET"]),
    Route(own("audits"), start, methods=["POST"]),
]
