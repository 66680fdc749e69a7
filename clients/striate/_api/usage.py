"""What a caller may have, and what they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.results.usage import Usage
from striate.v1 import usage_pb2

if TYPE_CHECKING:
    from striate._api.context import Connection


def get_usage(connection: Connection, name: str, timeout: float | None) -> Usage:
    """Asks for the usage of a caller.

    Args:
        connection: To the server.
        name: Of another caller; "" for one's own.
        timeout: Seconds, None for the connection's default.

    Returns:
        The usage.
    """
    request = usage_pb2.GetUsageRequest(name=name)
    return Usage.read(connection.caller.unary(connection.usage.GetUsage, request, timeout))
