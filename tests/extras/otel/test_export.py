"""A real server sends its traces to a real receiver of OTLP, and its log has their ids."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

import striate
from tests.extras.otel.toys_spans import Kept
from tests.toys_server import eventually, serving, start, stop

ATTACK = "striate.v1.RobustnessService/Attack"


class Receiver(TraceServiceServicer):  # type: ignore[misc]
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services = set[str]()

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> Any:
        """Take spans."""
        for resource in request.resource_spans:
            about = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.services.add(about["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return ExportTraceServiceResponse()

    def named(self, name: str) -> list[Any]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def receiving() -> Iterator[tuple[Receiver, str]]:
    """A receiver, and its address."""
    receiver, server = Receiver(), grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(receiver, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield receiver, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None)


def attacked(target: str) -> tuple[str, str]:
    """Attack an image inside a span; returns the ids of its trace and of the request."""
    with (
        striate.connect(target) as service,
        trace.get_tracer("a program").start_as_current_span("its work") as span,
    ):
        images = np.zeros((1, 1, 32, 32), np.float32)
        found = service.model("digits-lenet5").attack(images, None, striate.FGSM(epsilon=0.1))
    return f"{span.get_span_context().trace_id:032x}", found.provenance.request_id


def lines(folder: Path, request_id: str) -> list[dict[str, Any]]:
    """The lines of a server's log that are about a request."""
    every = [json.loads(line) for line in (folder / "stderr.log").read_text().splitlines()]
    return [line for line in every if line.get("request_id") == request_id]


def test_traces_arrive_while_the_server_runs_and_its_log_names_them(
    kept: Kept, tmp_path: Path
) -> None:
    flags = ("--model", "digits-lenet5")
    often = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
    with (
        receiving() as (receiver, address),
        serving(tmp_path, *flags, "--otlp-endpoint", address, environment=often) as (_, target),
    ):
        trace_id, request_id = attacked(target)
        eventually(lambda: receiver.named("encode"))
        eventually(lambda: receiver.named(ATTACK))
    (call,) = receiver.named(ATTACK)
    assert call.trace_id.hex() == trace_id
    assert receiver.services == {"striate-server"}
    for name in ("decode", "queue", "job", "encode"):
        (span,) = receiver.named(name)
        assert (span.trace_id, span.parent_span_id) == (call.trace_id, call.span_id)
    (job,) = receiver.named("job")
    linked = [link.span_id for tick in receiver.named("tick") for link in tick.links]
    assert linked == [job.span_id] * len(job.events)
    told = lines(tmp_path, request_id)
    assert told
    assert {(one["trace_id"], one["span_id"]) for one in told} == {(trace_id, call.span_id.hex())}


def test_what_is_not_sent_yet_is_sent_when_the_server_ends(kept: Kept, tmp_path: Path) -> None:
    with receiving() as (receiver, address):
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_SERVICE_NAME": "ours",
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
        }
        server = start(tmp_path, "--model", "digits-lenet5", environment=environment)
        try:
            attacked(server.wait_until_it_serves())
            assert not receiver.spans
        finally:
            stop(server)
        assert server.process.returncode == 0
    assert receiver.named(ATTACK)
    assert receiver.services == {"ours"}


@pytest.mark.slow
def test_a_receiver_that_is_not_there_harms_nobody(kept: Kept, tmp_path: Path) -> None:
    flags = ("--model", "digits-lenet5", "--otlp-endpoint", "http://127.0.0.1:1")
    server = start(tmp_path, *flags, environment={"OTEL_BSP_SCHEDULE_DELAY": "100"})
    try:
        target = server.wait_until_it_serves()
        for _ in range(3):
            attacked(target)
        log = tmp_path / "stderr.log"
        eventually(lambda: '"tracing"' in log.read_text())
        attacked(target)
    finally:
        stop(server)
    assert server.process.returncode == 0
    for line in log.read_text().splitlines():
        json.loads(line)  # the exporter's warnings too
