"""What traces cost: one unary FGSM on a server that sends its spans, and on one that does not."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc

import striate
from bench.figure import Figure, Figures
from bench.setting import MODEL, Setting, setting
from bench.timing import interleaved, ratio
from interp.attack.base import attack
from interp.attack.pgd import fgsm
from interp.probe import solve

EPSILON = 1 / 255
_API = "opentelemetry.trace"  # by which the client finds out whether the program has traces


def tracing(place: Setting, repeats: int = 150) -> Figures:
    """Both sides traced, the server alone, and neither, in turn with the same in process."""
    with (
        _receiving() as (address, received),
        setting(place.threads, None, "--otlp-endpoint", address) as traced,
        place.connect() as plain_service,
        traced.connect() as traced_service,
    ):
        api, provider = _sending_to(address)
        x, y = place.images[:1], place.labels[:1]

        def ask(net: striate.Model, both: bool) -> None:
            if both:
                sys.modules[_API] = api
            else:
                sys.modules.pop(_API, None)
            net.attack(x.numpy(), [int(y[0])], striate.FGSM(EPSILON))

        def local() -> None:
            solve(attack(x, y, fgsm(), epsilon=EPSILON), place.local)

        plain, there = plain_service.model(MODEL), traced_service.model(MODEL)
        ways = {
            "off": partial(ask, plain, False),
            "server": partial(ask, there, False),
            "both": partial(ask, there, True),
        }
        calls: dict[str, Callable[[], object]] = {}
        for name, way in ways.items():  # each has the same before it
            calls |= {f"local {name}": local, name: way}
        try:
            times = interleaved(calls, repeats)
        finally:
            sys.modules[_API] = api
            provider.shutdown()
    off, server, both = (ratio(times, name, f"local {name}") for name in ways)
    what = "unary FGSM over in process: what traces add"
    return {
        f"{what}, of the server": Figure(server - off, at_most=0.05),
        f"{what}, of both sides": Figure(
            both - off, at_most=0.05, note=f"{off:.2f} without; {len(received)} spans arrived"
        ),
    }


def _sending_to(address: str) -> tuple[Any, Any]:
    """Trace the client, which is in this process, and send its spans; returns OpenTelemetry's API
    and what has to be shut down.
    """
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(address)))
    trace.set_tracer_provider(provider)
    return trace, provider


@contextmanager
def _receiving() -> Iterator[tuple[str, list[str]]]:
    """The address of a receiver of spans on loopback, and the names of those that arrived."""
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

    received: list[str] = []

    class Receiver(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]
        def Export(self, request: Any, context: Any) -> Any:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    received.extend(span.name for span in scope.spans)
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Receiver(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", received
    finally:
        server.stop(None)
