"""What a request passes before its page: headers that hold the browser to this microscope alone,
and the end of work for those who have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "frame-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
)
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class BrowserRules:
    """Sets the headers by which a browser loads nothing from elsewhere and shows a page in no
    foreign one, and refuses what a foreign page sends.

    Args:
        app: What answers.
        frames: Origins of the pages that may show this one in a frame.
    """

    def __init__(self, app: ASGIApp, frames: tuple[str, ...] = ()) -> None:
        self._app = app
        ancestors = " ".join(frames) or "'none'"
        policy = "; ".join((*_POLICY, f"frame-ancestors {ancestors}"))
        self._headers = {"Content-Security-Policy": policy, **_HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["method"] not in ("GET", "HEAD") and _is_foreign(scope):
            refusal = PlainTextResponse("This form is not the microscope's own.", 403)
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _is_foreign(scope: MutableMapping[str, Any]) -> bool:
    """Says whether the browser tells that another site sends this."""
    return Headers(scope=scope).get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


class CancelOnLeave:
    """Cancels the answer, and with it the call on the gRPC server, when the browser has left.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        answer = asyncio.ensure_future(self._app(scope, _no_body(), send))
        left = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            gone = not answer.done()
            if gone:
                answer.cancel()
                await asyncio.wait({answer})
        if not answer.cancelled():
            answer.result()  # raises what the application raised


def _no_body() -> Receive:
    """What an answer hears of its request: that there is no body, and then nothing more."""
    heard = False

    async def receive() -> Message:
        nonlocal heard
        if heard:
            await asyncio.Event().wait()
        heard = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
