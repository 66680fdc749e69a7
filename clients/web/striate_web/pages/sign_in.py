"""Signing in with one's own token, and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from striate import InvalidArgument, StriateError
from striate_web.errors import in_words
from striate_web.names import own
from striate_web.visit import Visit


async def form(request: Request) -> Response:
    """Asks for a token."""
    visit = Visit(request)
    return visit.page("sign_in.html", back=_local(visit.query.get("back", "")), problem="")


async def sign_in(request: Request) -> Response:
    """Tries a token, and keeps one that the server knows."""
    visit = Visit(request)
    sent = await visit.form()
    token, back = str(sent.get("token", "")).strip(), _local(str(sent.get("back", "")))
    try:
        if not token:
            raise InvalidArgument("A token is one word, as the server's keeper handed it out.")
        await visit.microscope.service.with_metadata(token=token).models()
    except StriateError as error:
        problem = in_words(error)
        return visit.page("sign_in.html", problem.status, back=back, problem=problem.message)
    sessions = visit.microscope.sessions
    sessions.sign_out(visit.visitor)
    visit.visitor = sessions.sign_in(token)
    return visit.redirect(back)


async def sign_out(request: Request) -> Response:
    """Forgets the token."""
    visit = Visit(request)
    await visit.form()
    sessions = visit.microscope.sessions
    sessions.sign_out(visit.visitor)
    visit.visitor = sessions.new_visitor()
    return visit.redirect("/")


def _local(address: str) -> str:
    """An address of this microscope alone: "//elsewhere" and "/\\elsewhere" are not."""
    safe = address.startswith("/") and address[1:2] not in ("/", "\\") and address.isprintable()
    return address if safe else "/"


ROUTES: list[BaseRoute] = [
    Route(own("sign-in"), form, methods=["GET"]),
    Route(own("sign-in"), sign_in, methods=["POST"]),
    Route(own("sign-out"), sign_out, methods=["POST"]),
]
