"""One trace from the client's call to the encoded answer, whatever becomes of the call."""

import asyncio

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import striate
import striate.aio
from tests.extras.otel.toys_spans import SIZE, Kept, below, parent

ROBUSTNESS = "striate.v1.RobustnessService"
INTERPRET = "striate.v1.InterpretService"
IMAGES = np.random.default_rng(0).random((2, 1, SIZE, SIZE), np.float32)


def both(kept: Kept, name: str) -> tuple[ReadableSpan, ReadableSpan]:
    """The client's and the server's span of a call."""
    first, second = kept.named(name, 2)
    client, server = (first, second) if first.kind is SpanKind.CLIENT else (second, first)
    assert (client.kind, server.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert parent(server) == client.context.span_id
    assert server.context.trace_id == client.context.trace_id
    return client, server


def test_an_attack_is_one_trace_of_the_callers(net: striate.Model, kept: Kept) -> None:
    with trace.get_tracer("a program").start_as_current_span("its work") as outer:
        found = net.attack(IMAGES, None, striate.PGD(epsilon=1e-6, steps=5, stop_when_fooled=False))
    client, server = both(kept, f"{ROBUSTNESS}/Attack")
    assert parent(client) == outer.get_span_context().span_id
    assert client.context.trace_id == outer.get_span_context().trace_id
    assert below(server, kept.all()) == ["decode", "queue", "job", "encode"]
    assert server.attributes is not None
    assert server.attributes["rpc.grpc.status_code"] == 0
    assert server.attributes["striate.request_id"] == found.provenance.request_id
    assert (server.status.status_code, server.events) == (StatusCode.UNSET, ())

    (job,) = kept.named("job")
    assert job.attributes is not None
    ticks = [event.attributes or {} for event in job.events]
    assert job.attributes["striate.reason"] == "finished"
    assert job.attributes["striate.ticks"] == len(ticks) >= 5
    assert job.attributes["striate.rows"] == sum(int(one["striate.rows"]) for one in ticks)
    (queue,) = kept.named("queue")
    assert (queue.end_time or 0) <= (job.start_time or 0) <= (job.end_time or 0)
    for tick, span in zip(ticks, kept.named("tick", len(ticks)), strict=True):
        assert [link.context.span_id for link in span.links] == [job.context.span_id]
        assert parent(span) == 0
        assert f"{span.context.trace_id:032x}" == tick["striate.tick.trace_id"]
        assert (span.attributes or {})["striate.tick"] == tick["striate.tick"]
        assert (job.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0)


def test_a_stream_is_one_trace(net: striate.Model, kept: Kept) -> None:
    with trace.get_tracer("a program").start_as_current_span("its work") as outer:
        net.visualize("0:1", steps=8, preview_every=4, on_progress=lambda _: None)
    client, server = both(kept, f"{INTERPRET}/Visualize")
    assert parent(client) == outer.get_span_context().span_id
    names = below(server, kept.all())
    assert names.index("queue") < names.index("job") < names.index("encode")
    assert "preview" in names
    assert client.status.status_code is StatusCode.UNSET
    assert (client.attributes or {})["rpc.grpc.status_code"] == 0


def test_an_error_sets_the_status_once_with_one_exception(net: striate.Model, kept: Kept) -> None:
    with pytest.raises(striate.LayerNotFound):
        net.visualize("nowhere:1")
    client, server = both(kept, f"{INTERPRET}/Visualize")
    assert server.status.status_code is client.status.status_code is StatusCode.ERROR
    assert "nowhere" in (server.status.description or "")
    (event,) = server.events
    assert event.name == "exception"
    assert (event.attributes or {})["exception.type"] == "interp.layer.UnknownLayer"
    assert client.events == ()
    for span in (client, server):
        assert (span.attributes or {})["error.type"] == "NOT_FOUND"
        assert (span.attributes or {})["rpc.grpc.status_code"] == 5


def test_a_cancelled_call_is_no_error_of_the_server(net: striate.Model, kept: Kept) -> None:
    def leave(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.visualize("0:1", steps=4096, preview_every=1, on_progress=leave)
    client, server = both(kept, f"{INTERPRET}/Visualize")
    assert (server.status.status_code, server.events) == (StatusCode.UNSET, ())
    assert (server.attributes or {})["rpc.grpc.status_code"] == 1
    assert (client.attributes or {})["rpc.grpc.status_code"] == 1
    (job,) = kept.named("job")
    assert parent(job) == server.context.span_id
    assert (job.attributes or {})["striate.reason"] == "cancelled"


def test_a_call_without_a_span_of_the_callers_is_a_trace_of_its_own(
    net: striate.Model, kept: Kept
) -> None:
    net.classify(IMAGES)
    client, server = both(kept, f"{INTERPRET}/Classify")
    assert parent(client) == 0
    assert below(server, kept.all()) == ["admit images", "decode", "queue", "job", "encode"]


def test_probes_of_the_health_are_not_traced(net: striate.Model, kept: Kept) -> None:
    with striate.connect(net.target) as service:
        service.health()
        service.models()
    both(kept, "striate.v1.ModelService/ListModels")
    checks = [span for span in kept.all() if span.name == "grpc.health.v1.Health/Check"]
    assert all(span.kind is SpanKind.CLIENT for span in checks)


def test_an_operation_is_a_trace_with_a_link_to_its_call(net: striate.Model, kept: Kept) -> None:
    with striate.connect(net.target) as service:
        service.build_index("toy", dataset="digits", layers=["0"], limit=64).wait()
    _, server = both(kept, f"{INTERPRET}/BuildExemplarIndex")
    (operation,) = kept.named("operation BuildExemplarIndex")
    (link,) = operation.links
    assert link.context.span_id == server.context.span_id
    assert link.context.trace_id == server.context.trace_id
    assert operation.context.trace_id != server.context.trace_id
    assert parent(operation) == 0
    assert {"queue", "job"} <= set(below(operation, kept.all()))
    assert not {"queue", "job"} & set(below(server, kept.all()))


def test_a_stream_of_many_images_has_a_bounded_number_of_spans(
    net: striate.Model, kept: Kept
) -> None:
    images = (IMAGES[:1] for _ in range(300))
    attack = striate.FGSM(epsilon=0.1)
    assert sum(1 for _ in net.attack_stream(((image[0], 0) for image in images), attack)) == 300
    _, server = both(kept, f"{ROBUSTNESS}/AttackStream")
    assert len(below(server, kept.all())) <= 2 * 256
    assert int((server.attributes or {})["striate.omitted_spans"]) > 0


def test_calls_of_an_event_loop_are_of_its_trace_too(net: striate.Model, kept: Kept) -> None:
    async def run() -> int:
        async with striate.aio.connect(net.target) as service:
            with trace.get_tracer("a program").start_as_current_span("its work") as outer:
                hosted = await service.model("toy")
                await hosted.classify(IMAGES)
                await hosted.visualize("0:1", steps=4)
        return int(outer.get_span_context().span_id)

    outer = asyncio.run(run())
    for method in ("Classify", "Visualize"):
        client, _ = both(kept, f"{INTERPRET}/{method}")
        assert parent(client) == outer
        assert client.status.status_code is StatusCode.UNSET
