"""Server-sent events: what happens while it happens."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import StreamingResponse

from striate import StriateError
from striate_web.errors import in_words

log = logging.getLogger("striate_web")


def event(name: str, **values: Any) -> str:
    """Words one event.

    Args:
        name: What happened.
        values: About it, as JSON.

    Returns:
        The event as it is sent.
    """
    return f"event: {name}\ndata: {json.dumps(values)}\n\n"


def stream(events: AsyncGenerator[str, None]) -> StreamingResponse:
    """Answers with events. The last one is "done", or "failed" with `message`; a browser that
    leaves ends the generator.

    Args:
        events: The events.

    Returns:
        The response.
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_ended(events), media_type="text/event-stream", headers=headers)


async def _ended(events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    yield ": striate\n\n"  # at once, so that the browser knows that it is connected
    try:
        async for one in events:
            yield one
        yield event("done")
    except StriateError as error:
        yield event("failed", message=in_words(error).message)
    except Exception:
        log.exception("a stream failed")
        yield event("failed", message="Something went wrong in the microscope; its log says what.")
    finally:
        await events.aclose()
