"""What anyone can send to a port: bytes that are no requests, requests that are too long, and more
calls than are taken on.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from service.rpc.registration import SERVICES
from service.server import MOST_CALLS
from striate.v1 import visualize_pb2
from tests.toys_server import Server, serving

STANDARD = (
    operations_pb2.DESCRIPTOR.services_by_name["Operations"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)
METHODS: dict[str, Any] = {
    f"/{service.full_name}/{method.name}": method
    for service in (*SERVICES, *STANDARD)
    for method in service.methods
}
GARBAGE = b"\xff" * 20


def send(channel: grpc.Channel, name: str, data: bytes) -> Any:
    """The error of a call whose one request has these bytes."""
    method = METHODS[name]
    kind = (
        "stream" if one else "unary" for one in (method.client_streaming, method.server_streaming)
    )
    call = getattr(channel, "_".join(kind))(name)
    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter([data]) if method.client_streaming else data, timeout=60))
    return caught.value


def detail(error: Any, packed: Message) -> bool:
    """Whether the error has a detail of this kind, which is read into `packed`."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    return any(one.Unpack(packed) for one in status.details)


def test_bytes_that_are_no_request_are_refused_quietly(tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--model", "digits-lenet5") as (_, target),
        grpc.insecure_channel(target) as channel,
    ):
        for name in METHODS:
            error = send(channel, name, GARBAGE)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, name
            assert detail(error, error_details_pb2.BadRequest()), name
    log = (tmp_path / "stderr.log").read_text()
    assert "Traceback" not in log
    assert '"error"' not in log.replace('"error": "the request is no', "")


def test_a_filter_of_60000_characters_is_not_read(server: Server) -> None:
    request = operations_pb2.ListOperationsRequest(filter="a" + " " * 60000 + "b")
    with grpc.insecure_channel(server.target) as channel:
        error = send(
            channel, "/google.longrunning.Operations/ListOperations", request.SerializeToString()
        )
    bad = error_details_pb2.BadRequest()
    assert detail(error, bad)
    assert "must have at most 500 characters" in bad.field_violations[0].description


def test_five_million_terms_are_not_parsed(server: Server) -> None:
    model = visualize_pb2.VisualizeRequest(model="digits-lenet5").SerializeToString()
    with grpc.insecure_channel(
        server.target, options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        error = send(
            channel, "/striate.v1.InterpretService/Visualize", model + b"\x1a\x00" * 5_000_000
        )
    bad = error_details_pb2.BadRequest()
    assert detail(error, bad)
    assert bad.field_violations[0].field == "composed"
    assert bad.field_violations[0].description == "there are more than 64, must be at most 64"


def test_calls_beyond_those_that_are_taken_on_hear_when_to_come_back(server: Server) -> None:
    beyond, connections = 300, 8

    async def one(stub: Any, answered: asyncio.Barrier) -> str:
        call = stub.Watch(health_pb2.HealthCheckRequest())
        try:
            await call.read()
        except grpc.aio.AioRpcError as error:
            told = error_details_pb2.RetryInfo()
            retry = detail(error, told) and told.retry_delay.ToMilliseconds() > 0
            return f"{error.code().name}{' with RetryInfo' * retry}"
        else:
            return "held"
        finally:
            await answered.wait()
            call.cancel()

    async def crowd() -> Counter[str]:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        channels = [grpc.aio.insecure_channel(server.target, options) for _ in range(connections)]
        stubs: list[Any] = [health_pb2_grpc.HealthStub(channel) for channel in channels]
        calls = MOST_CALLS + beyond
        answered = asyncio.Barrier(calls + 1)
        tasks = [asyncio.create_task(one(stubs[i % connections], answered)) for i in range(calls)]
        while answered.n_waiting < calls:
            await asyncio.sleep(0.05)
            await stubs[0].Check(health_pb2.HealthCheckRequest(), timeout=30)  # always let in
        await answered.wait()
        outcomes = Counter(await asyncio.gather(*tasks))
        for channel in channels:
            await channel.close()
        return outcomes

    outcomes = asyncio.run(asyncio.wait_for(crowd(), 120))
    assert outcomes == {"held": MOST_CALLS, "RESOURCE_EXHAUSTED with RetryInfo": beyond}
