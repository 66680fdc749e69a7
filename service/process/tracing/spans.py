"""Calls and operations as spans of OpenTelemetry, by its conventions for RPC.

Not by opentelemetry-instrumentation-grpc: it records the exception of a call that ends with a
status twice, leaves the status of a raising handler unset, and knows nothing of requests' ids.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.process.tracing.job_spans import JobSpans
from service.process.tracing.steps import Attributes, JobTrace, following

MOST_SPANS = 256  # below that of a call or operation: a stream may have a million images
NAME = "striate"
_PROPAGATOR = TraceContextTextMapPropagator()
_NO_ERROR = {"OK", "CANCELLED"}


class SpanTrace:
    """The steps of one call or operation as spans below its own.

    Args:
        span: of the call or operation.
        tracer: makes the spans of steps and jobs.
        ticks: makes those of ticks.
    """

    def __init__(self, span: Span, tracer: Tracer, ticks: Tracer) -> None:
        self._tracer, self._ticks = tracer, ticks
        self._context = set_span_in_context(span, Context())
        self._lock = threading.Lock()
        self._left = MOST_SPANS
        self.omitted = 0

    @contextmanager
    def step(self, name: str, attributes: Attributes) -> Iterator[None]:
        """Note that a step lasts as long as the context."""
        if not self._take():
            yield
            return
        span = self._tracer.start_span(name, self._context, attributes=attributes)
        try:
            yield
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def job(self, attributes: Attributes) -> JobTrace | None:
        """Note that a job waits for the device."""
        if not self._take():
            return None
        return JobSpans(self._tracer, self._ticks, self._context, attributes)

    def _take(self) -> bool:
        """Whether one more is noted."""
        with self._lock:
            if self._left:
                self._left -= 1
                return True
            self.omitted += 1
            return False


class CallSpans:
    """The span of a call.

    Attributes:
        trace: takes note of its steps; None where the sampler did not choose it.
        ids: of the trace and of the span, in hexadecimal, for log lines.
    """

    def __init__(self, span: Span, tracer: Tracer, ticks: Tracer) -> None:
        self._span = span
        self.trace = SpanTrace(span, tracer, ticks) if span.is_recording() else None
        self.ids = _ids(span.get_span_context())

    def end(self, code: str, error: BaseException | None, attributes: Attributes) -> None:
        """Note how the call ended: its status, and the exception behind it, each once."""
        span = self._span
        span.set_attributes(attributes)
        if code not in _NO_ERROR:
            span.set_attribute("error.type", code)
            span.set_status(Status(StatusCode.ERROR, code if error is None else str(error)))
            if error is not None:
                span.record_exception(error)
        if self.trace is not None and self.trace.omitted:
            span.set_attribute("striate.omitted_spans", self.trace.omitted)
        span.end()


class SpanTraces:
    """Traces that leave by OpenTelemetry.

    Args:
        calls: chooses, and sends, the spans of calls and operations.
        ticks: sends those of ticks, which belong to calls that were chosen.
        version: of the service.
    """

    def __init__(self, calls: TracerProvider, ticks: TracerProvider, version: str) -> None:
        self._provider = calls
        self._tracer = calls.get_tracer(NAME, version)
        self._ticks = ticks.get_tracer(NAME, version)

    def call(self, method: str, metadata: Mapping[str, str | bytes]) -> CallSpans:
        """Begin the span of a call, and have it be the present one for whatever else makes spans,
        until the call's task ends.
        """
        service, _, name = method.lstrip("/").rpartition("/")
        texts = {key: value for key, value in metadata.items() if isinstance(value, str)}
        span = self._tracer.start_span(
            f"{service}/{name}",
            _PROPAGATOR.extract(texts, Context()),
            SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )
        # Never detached: a generator may be closed in another context than it was begun in.
        contexts.attach(set_span_in_context(span))
        return CallSpans(span, self._tracer, self._ticks)

    @contextmanager
    def operation(self, kind: str, name: str) -> Iterator[None]:
        """Trace an operation, in the thread that runs it."""
        caller = get_current_span().get_span_context()
        with self._tracer.start_as_current_span(
            f"operation {kind}",
            Context(),
            attributes={"striate.operation": name},
            links=[Link(caller)] if caller.is_valid else [],
        ) as span:
            trace = SpanTrace(span, self._tracer, self._ticks) if span.is_recording() else None
            with following(trace):
                try:
                    yield
                finally:
                    if trace is not None and trace.omitted:
                        span.set_attribute("striate.omitted_spans", trace.omitted)

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


def _ids(context: SpanContext) -> dict[str, str]:
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
