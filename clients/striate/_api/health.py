"""Whether a server, or one of its models, serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import wrappers_pb2

from striate.errors import NotFound

if TYPE_CHECKING:
    import grpc

    from striate._rpc.caller import Caller

_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")  # grpc.health.v1's, by number
READINESS = "striate.readiness"  # what the server calls being ready, apart from being alive


def check(caller: Caller, service: str, timeout: float | None) -> str:
    """Asks the standard health service about the server ("") or one of its models.

    Args:
        caller: Of the connection.
        service: "" for the server, `READINESS`, or the name of a model.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The state's name; "SERVICE_UNKNOWN" where there is none of that name.
    """
    # HealthCheckRequest has one string and HealthCheckResponse one enum, each as field 1: on the
    # wire they are these wrappers.
    method: grpc.UnaryUnaryMultiCallable[wrappers_pb2.StringValue, wrappers_pb2.UInt32Value] = (
        caller.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=wrappers_pb2.StringValue.SerializeToString,
            response_deserializer=wrappers_pb2.UInt32Value.FromString,
        )
    )
    try:
        state = caller.unary(method, wrappers_pb2.StringValue(value=service), timeout).value
    except NotFound:
        return "SERVICE_UNKNOWN"
    return _STATES[state] if state < len(_STATES) else "UNKNOWN"
