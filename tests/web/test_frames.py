"""Who may show the microscope in a frame: nobody, but those whom the settings name."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from typer.testing import CliRunner

from striate._cli.main import app
from striate_web.doors import BrowserRules
from striate_web.settings import Settings


def ancestors(*frames: str) -> str:
    """What the policy says of frames."""
    sent: list[Message] = []

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("a page")(scope, receive, send)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    rules = BrowserRules(page, Settings("localhost:1", frames=frames).frames)
    with ThreadPoolExecutor(1) as pool:  # the browser's tests leave a loop in this thread
        pool.submit(asyncio.run, rules(scope, receive, send)).result()
    policy = Headers(raw=sent[0]["headers"])["content-security-policy"]
    return policy.rpartition("frame-ancestors ")[2]


def test_no_page_may_frame_it_unless_settings_say_so() -> None:
    assert ancestors() == "'none'"
    assert ancestors("http://localhost:8888", "https://lab.example") == (
        "http://localhost:8888 https://lab.example"
    )


@pytest.mark.parametrize(
    "origin",
    ["*", "localhost:8888", "http://", "https://a.example/page", "http://a; script-src *", ""],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="is told by its origin"):
        Settings("localhost:1", frames=(origin,))
    said = CliRunner().invoke(app, ["web", "--frame", origin, "--port", "0"])
    assert said.exit_code == 2
