"""The services that tools already know, beside the contract: operations, health, reflection."""

from collections.abc import Sequence

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.operations import OperationsService
from service.rpc.registration import SERVICES

SERVICE_NAMES = (
    *(service.full_name for service in SERVICES),
    operations_pb2.DESCRIPTOR.services_by_name["Operations"].full_name,
    health.SERVICE_NAME,
)
# What the health service calls being ready for work, apart from being alive, which is "".
READINESS = "striate.readiness"
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


def register_standard_services(
    server: grpc.aio.Server,
    operations: OperationsService,
    health_service: health.aio.HealthServicer,
) -> None:
    """Have a server answer google.longrunning, grpc.health and grpc.reflection.

    Args:
        server: not yet started.
        operations: answers google.longrunning.
        health_service: answers grpc.health.
    """
    operations_pb2_grpc.add_OperationsServicer_to_server(operations, server)
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    _register_reflection(server, (*SERVICE_NAMES, reflection.SERVICE_NAME, _REFLECTION_V1))


def _register_reflection(server: grpc.aio.Server, names: Sequence[str]) -> None:
    """The messages of v1 and v1alpha are the same on the wire; newer tools ask for v1 alone."""
    reflection.enable_server_reflection(names, server)
    answer = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(_REFLECTION_V1, {"ServerReflectionInfo": answer})]
    )
