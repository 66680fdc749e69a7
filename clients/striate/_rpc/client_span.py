"""A span a call, in the traces of programs that use OpenTelemetry; others pay a look at a dict."""

from __future__ import annotations

import sys
from typing import Any, Self

import grpc

from striate._rpc.versions import client_version
from striate.errors import StriateError

Metadata = tuple[tuple[str, str], ...]


class ClientSpan:
    """The span of one call: a context for a call that ends inside it, or told when it has ended.

    OpenTelemetry is looked for among what the program has imported: who has a span has imported it.

    Args:
        method: The stub's method.

    Attributes:
        metadata: What tells the server of the span, to be sent with the call; empty without one.
    """

    def __init__(self, method: Any) -> None:
        self._span: Any = None
        self.metadata: Metadata = ()
        trace: Any = sys.modules.get("opentelemetry.trace")
        if trace is not None:
            self._begin(trace, method)

    def ended(self, call: Any) -> None:
        """Ends the span as a call ended.

        Args:
            call: gRPC's, which has ended.
        """
        self.end(call.code() or grpc.StatusCode.UNKNOWN)

    def end(self, code: grpc.StatusCode, what: str = "") -> None:
        """Ends the span; without effect on one that has ended.

        Args:
            code: Status code of the call.
            what: What went wrong, in words.
        """
        span, self._span = self._span, None
        if span is None:
            return
        span.set_attribute("rpc.grpc.status_code", code.value[0])
        if code not in (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED):
            trace = sys.modules["opentelemetry.trace"]
            span.set_attribute("error.type", code.name)
            span.set_status(trace.Status(trace.StatusCode.ERROR, what or code.name))
        span.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.end(grpc.StatusCode.OK)
        elif isinstance(error, StriateError):
            self.end(error.code, str(error))
        else:  # Ctrl-C, a coroutine that was cancelled, a reader that has had enough
            self.end(grpc.StatusCode.CANCELLED)

    def _begin(self, trace: Any, method: Any) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        path = getattr(method, "_method", "")  # nothing public has it
        path = path.decode() if isinstance(path, bytes) else str(path)
        service, _, name = path.lstrip("/").rpartition("/")
        self._span = trace.get_tracer("striate", client_version()).start_span(
            f"{service}/{name}",
            kind=trace.SpanKind.CLIENT,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(self._span))
        self.metadata = tuple(carrier.items())
