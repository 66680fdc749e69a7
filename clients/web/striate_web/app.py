"""The application: its pages, what they share, and what is said when something goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response

from striate import StriateError, aio
from striate_web.doors import BrowserRules, CancelOnLeave
from striate_web.errors import Problem, in_words, title
from striate_web.pages import ROUTES
from striate_web.settings import Settings
from striate_web.visit import Microscope, Visit


def application(settings: Settings) -> Starlette:
    """Makes the application.

    Args:
        settings: What it is started with.

    Returns:
        The application, which connects to the gRPC server when it starts.
    """

    @asynccontextmanager
    async def connected(app: Starlette) -> AsyncIterator[None]:
        async with aio.connect(
            settings.target,
            timeout=settings.timeout,
            tls=settings.tls,
            ca=settings.ca,
            certificate=settings.certificate,
            key=settings.key,
        ) as service:
            app.state.microscope = Microscope(settings, service)
            yield

    return Starlette(
        routes=ROUTES,
        lifespan=connected,
        middleware=[
            Middleware(BrowserRules, frames=settings.frames),
            Middleware(TrustedHostMiddleware, settings.allowed_names, www_redirect=False),
            Middleware(CancelOnLeave),
        ],
        exception_handlers={
            StriateError: _client_error,
            HTTPException: _http_error,
            Exception: _unexpected,
        },
    )


def _page(request: Request, problem: Problem) -> Response:
    visit = Visit(request)
    response = visit.page("error.html", problem.status, problem=problem, here=request.url.path)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


async def _client_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StriateError)
    return _page(request, in_words(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail if error.detail.endswith(".") else "Nothing stands at this address."
    return _page(request, Problem(error.status_code, title(error.status_code), detail))


async def _unexpected(request: Request, error: Exception) -> Response:
    """What is shown of an error that nobody thought of; Starlette raises it again, for the log."""
    message = "Something went wrong in the microscope; its log says what."
    return _page(request, Problem(500, title(500), message))
