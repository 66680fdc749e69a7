"""One request: who asks, the server on their behalf, and how a page is given back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from striate_web import rendering
from striate_web.memory import Pictures, Recent
from striate_web.sessions import COOKIE, LIFETIME, Sessions

if TYPE_CHECKING:
    from striate.aio import AsyncModel, AsyncService
    from striate_web.settings import Settings

_FORM_BYTES = 64 * 1024
_FILE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Microscope:
    """What all requests share.

    Attributes:
        settings: What it was started with.
        service: The connection to the gRPC server, with nobody's token.
        sessions: Who has signed in.
        pictures: Pictures that were shown lately.
        found: Small answers that were given lately, by all that they depend on.
        found_large: Likewise those of megabytes, such as a whole layer's statistics.
    """

    settings: Settings
    service: AsyncService
    sessions: Sessions = field(default_factory=Sessions)
    pictures: Pictures = field(default_factory=Pictures)
    found: Recent[Any] = field(default_factory=lambda: Recent(20_000))
    found_large: Recent[Any] = field(default_factory=lambda: Recent(64))


class Visit:
    """One request.

    Args:
        request: It.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.microscope: Microscope = request.app.state.microscope
        self.pictures = self.microscope.pictures
        self.found = self.microscope.found
        self.found_large = self.microscope.found_large
        self._cookie = request.cookies.get(COOKIE)
        self.visitor = self.microscope.sessions.visitor(self._cookie)

    @cached_property
    def service(self) -> AsyncService:
        """The gRPC server, asked with the visitor's own token and no other."""
        return self.microscope.service.with_metadata(token=self.token)

    @property
    def token(self) -> str:
        """The visitor's token; "" without."""
        return self.microscope.sessions.token(self.visitor)

    @property
    def query(self) -> Mapping[str, str]:
        """The settings in the address."""
        return self.request.query_params

    @property
    def is_part(self) -> bool:
        """Whether only a part of the page is asked for, to be put into one that is there."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def lately(self) -> int:
        """Another number every ten minutes: part of the keys of what a new index may change."""
        return int(time.time() // 600)

    async def model(self, name: str) -> AsyncModel:
        """Finds a network on the visitor's behalf: whatever is remembered of it is shown only to
        those whom the server lets see it now.
        """
        return await self.service.model(name)

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Reads a whole number among the settings in the address.

        Args:
            name: Its name.
            default: Where there is none.
            low: The least.
            high: The most.

        Returns:
            The number.

        Raises:
            HTTPException: It is none of these (400).
        """
        text = self.query.get(name, "")
        if text == "":
            return default
        if not (text.isascii() and text.isdecimal()) or not low <= int(text[:20]) <= high:
            raise HTTPException(400, f"{name} must be a whole number from {low} to {high}.")
        return int(text)

    def choice(self, name: str, choices: Mapping[str, object] | tuple[str, ...]) -> str:
        """Reads one of several words among the settings in the address; the first is the default.

        Raises:
            HTTPException: It is none of them (400).
        """
        words = tuple(choices)
        word = self.query.get(name, "") or words[0]
        if word not in words:
            raise HTTPException(400, f"{name} must be one of {', '.join(words)}.")
        return word

    async def form(self, files: int = 0) -> FormData:
        """Reads a form of this microscope's own.

        Args:
            files: Files in it at most, of 16 MiB together.

        Raises:
            HTTPException: It is too large (413), or another page's (403).
        """
        length = self.request.headers.get("content-length", "")
        most = _FORM_BYTES + (_FILE_BYTES if files else 0)
        if not length.isdecimal() or int(length) > most:
            raise HTTPException(413, "A form of this microscope is smaller.")
        form = await self.request.form(max_files=files, max_fields=64)
        if not self.microscope.sessions.proven(self.visitor, str(form.get("proof", ""))):
            raise HTTPException(
                403,
                "This form is too old, or not the microscope's own: load its page anew.",
            )
        return form

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Gives a page back, or "not changed" where the browser has just this one.

        Args:
            template: Name of the template.
            status: Of HTTP.
            values: What the template shows.

        Returns:
            The response.
        """
        text = rendering.render(
            template,
            proof=self.microscope.sessions.proof(self.visitor),
            signed_in=bool(self.token),
            target=self.microscope.settings.target,
            is_part=self.is_part,
            **values,
        )
        tag = f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Cookie, HX-Request"}
        if status == 200 and tag in self.request.headers.get("if-none-match", ""):
            return self.with_visitor(Response(status_code=304, headers=headers))
        response = Response(text, status, headers, "text/html; charset=utf-8")
        return self.with_visitor(response)

    def redirect(self, to: str) -> Response:
        """Sends the browser on after a form."""
        return self.with_visitor(RedirectResponse(to, 303))

    def with_visitor(self, response: Response) -> Response:
        """Sets the visitor's cookie, where the browser has another or none."""
        if self.visitor != self._cookie:
            response.set_cookie(
                COOKIE,
                self.visitor,
                max_age=LIFETIME,
                httponly=True,
                samesite="lax",
                secure=self.microscope.settings.secure,
            )
        return response
