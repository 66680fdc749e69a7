"""All methods that a server answers, and calling them with any bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import grpc
from google.longrunning import operations_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from striate.v1 import interpret_pb2, model_pb2, robustness_pb2, usage_pb2

MOST_RESPONSES = 20  # that are read of a stream before it is cancelled

_FILES = (
    model_pb2,
    interpret_pb2,
    robustness_pb2,
    usage_pb2,
    operations_pb2,
    health_pb2,
    reflection_pb2,
)


@dataclass(frozen=True)
class Method:
    """A method of a service.

    Attributes:
        name: as gRPC has it, "/package.Service/Method".
        request: what it takes.
        kind: "unary_unary", "unary_stream", "stream_unary" or "stream_stream".
    """

    name: str
    request: Descriptor
    kind: str


def _method(method: MethodDescriptor) -> Method:
    streams = (method.client_streaming, method.server_streaming)
    kind = "_".join("stream" if one else "unary" for one in streams)
    assert method.containing_service is not None
    return Method(f"/{method.containing_service.full_name}/{method.name}", method.input_type, kind)


METHODS: Sequence[Method] = tuple(
    _method(method)
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)


def call(channel: grpc.Channel, method: Method, frames: Sequence[bytes], seconds: float) -> str:
    """Call a method.

    Args:
        frames: the requests on the wire; of a method that takes one, the first is sent.
        seconds: the deadline.

    Returns:
        The name of the status code, followed by the message where the service is at fault.
    """
    multi = getattr(channel, method.kind)(method.name)
    request = iter(frames) if method.kind.startswith("stream") else frames[0]
    try:
        answer = multi(request, timeout=seconds)
        if method.kind.endswith("stream"):
            for _ in islice(answer, MOST_RESPONSES):
                pass
            answer.cancel()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        at_fault = code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
        return f"{code.name}: {error.details()}" if at_fault else code.name
    return "OK"
