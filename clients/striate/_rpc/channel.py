"""The channel of a connection: its limits, and which calls gRPC repeats by itself."""

from __future__ import annotations

import json
from typing import Any

import grpc
import grpc.aio

MESSAGE_LIMIT = 64 * 2**20  # bytes, either way; the server's limit too

_BACKOFF: dict[str, Any] = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
}
# Starting an operation twice is not the same as starting it once: it is repeated only when the
# server said that it had not begun.
_OPERATIONS = [
    {"service": "striate.v1.InterpretService", "method": "BuildExemplarIndex"},
    {"service": "striate.v1.RobustnessService", "method": "Audit"},
]
# A conversation is not repeated at all: what was said first is not all that there was to say.
_CONVERSATIONS = [{"service": "striate.v1.RobustnessService", "method": "AttackStream"}]
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                **_BACKOFF,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        },
        {
            "name": _OPERATIONS,
            "retryPolicy": {**_BACKOFF, "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]},
        },
        {"name": _CONVERSATIONS},
        # The first call of a connection tells at once why there is none, and so does a probe.
        {"name": [{"service": "grpc.health.v1.Health"}]},
    ]
}
_CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A call is retried only while its request fits this buffer; the default of 256 KiB would leave
    # out most batches.
    ("grpc.per_rpc_retry_buffer_size", 2 * MESSAGE_LIMIT),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
)


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Opens a channel; the server is first contacted by the first call.

    Args:
        target: Address of the server, "host:port".
        credentials: Credentials for TLS, None for plain text.

    Returns:
        The channel.
    """
    if credentials is None:
        return grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
    return grpc.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)


def open_async_channel(
    target: str, credentials: grpc.ChannelCredentials | None
) -> grpc.aio.Channel:
    """Opens the same channel for the running event loop.

    Args:
        target: Address of the server, "host:port".
        credentials: Credentials for TLS, None for plain text.

    Returns:
        The channel.
    """
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)
