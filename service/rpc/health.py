"""grpc.health, which tells of a model only to those who may name it."""

from typing import Any

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from service.auth.identity import current

_NOBODY = "\N{NULL}"  # no service and no model is called that
ServicerContext = grpc.aio.ServicerContext[Any, Any]


class HealthService(health.aio.HealthServicer):
    """The state of the server, of its services, and of each model under its name.

    Args:
        services: names whose state anybody may ask for.
    """

    def __init__(self, services: tuple[str, ...]) -> None:
        super().__init__()
        self._services = ("", *services)

    async def Check(
        self, request: HealthCheckRequest, context: ServicerContext
    ) -> HealthCheckResponse:
        """Return a state; NOT_FOUND for a name that does not exist, or not for this caller."""
        return await super().Check(self._seen(request), context)  # type: ignore[func-returns-value, return-value, no-any-return, unused-ignore]

    async def Watch(self, request: HealthCheckRequest, context: ServicerContext) -> None:
        """Send a state now and whenever it changes; SERVICE_UNKNOWN as long as there is none."""
        await super().Watch(self._seen(request), context)

    def _seen(self, request: HealthCheckRequest) -> HealthCheckRequest:
        """The request, or one for a name that does not exist."""
        name = request.service
        if name in self._services or current.get().may_use_model(name):
            return request
        return HealthCheckRequest(service=_NOBODY)
