"""What a call leaves in the server's log."""

import asyncio
from typing import Any, cast
from unittest.mock import Mock, patch

import pytest
import structlog

from service.engine.metrics import Metrics
from service.rpc import call_span
from service.rpc.call_span import CallSpan

WAIT = "/google.longrunning.Operations/WaitOperation"


def logged(method: str) -> list[Any]:
    """The log lines of one call."""
    context = Mock()
    context.invocation_metadata.return_value = ()
    span = CallSpan(Metrics(), method, context)

    async def call() -> None:
        async with span:
            pass

    capture = structlog.testing.LogCapture()
    # Not capture_logs: a logger that has been used keeps the settings that it was used with.
    log = structlog.wrap_logger(None, processors=[capture])
    with patch.object(call_span, "log", log):
        asyncio.run(call())
    return cast(list[Any], capture.entries)


@pytest.mark.parametrize(
    ("method", "level"),
    [
        (WAIT, "debug"),
        ("/google.longrunning.Operations/CancelOperation", "info"),
        ("/striate.v1.ModelService/ListModels", "info"),
    ],
)
def test_waiting_for_an_operation_is_logged_for_those_who_debug(method: str, level: str) -> None:
    (line,) = logged(method)
    assert (line["event"], line["log_level"], line["method"]) == ("call", level, method)
