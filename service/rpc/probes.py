"""A listener for probes that speak no TLS and have no keys, such as Kubernetes' own: it answers the
health service alone.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from service.auth.identity import NOBODY, current
from service.rpc.health import HealthService

MOST_PROBES = 64  # at a time


def probe_server(health_service: HealthService) -> grpc.aio.Server:
    """Make the listener.

    Args:
        health_service: of the server itself. Probes are told of the server and its services, and
            of no model.

    Returns:
        A server without a port, not yet started.
    """
    server = grpc.aio.server(
        interceptors=[_AsNobody()],
        maximum_concurrent_rpcs=MOST_PROBES,
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4096)],
    )
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    return server


class _AsNobody(grpc.aio.ServerInterceptor):  # type: ignore[type-arg, unused-ignore]
    """Has all calls be those of nobody in particular."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]
        ],
        details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Find the handler, which runs in this task."""
        current.set(NOBODY)
        return await continuation(details)
