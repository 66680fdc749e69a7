"""What every call gets: a look at who calls, a request id, a log line, metrics, and errors from the
one table.
"""

import asyncio
import inspect
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message

from service.auth import identity
from service.auth.access_log import AccessLog
from service.auth.errors import AccessError
from service.auth.usage import Meter
from service.engine.metrics import Metrics
from service.process.tracing import TracedCall, Traces
from service.process.tracing.steps import present
from service.rpc import errors
from service.rpc.context import VERSION, Context, caller, peer, request_id
from service.rpc.doors.access import Access, Caller, Visit
from service.rpc.doors.admission import Admission
from service.rpc.doors.decoding import Decoder
from service.rpc.doors.named import named
from service.rpc.doors.quotas import Quotas

log = structlog.get_logger("striate")
# In every answer, also of services that have no provenance.
_TRAILER = (("x-striate-version", VERSION),)
_QUIET = ("/grpc.health.", "/grpc.reflection.")  # probed every few seconds: counted, not logged
# Asked again about every second by everyone who waits for an operation.
_REPEATED = "/google.longrunning.Operations/WaitOperation"

# What is not the request's own fault.
_REFUSALS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg, unused-ignore]
    """Wraps the methods of all services in a `CallSpan`, lets their callers in, counts their calls
    in, and decodes their requests.

    Args:
        metrics: counts and times every call.
        access: tells who calls, and whether they may.
        admission: counts the calls in flight.
        decoder: decodes requests.
        access_log: told of every call; None: there is none.
        quotas: hold callers to what they may have.
        traces: where the spans of calls go; None: calls are not traced.
    """

    def __init__(
        self,
        metrics: Metrics,
        access: Access,
        admission: Admission,
        decoder: Decoder,
        access_log: AccessLog | None = None,
        quotas: Quotas | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._metrics, self._access, self._access_log = metrics, access, access_log
        self._admission, self._decoder = admission, decoder
        self._quotas = quotas or Quotas(Meter())
        self._traces = traces

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]
        ],
        details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap the handler that gRPC finds for a method, if there is one.

        Args:
            continuation: finds the handler of a method.
            details: of the call, with the method's full name.

        Returns:
            The wrapped handler, which takes requests as bytes; one that refuses the call, without
            taking its request, where the caller may not make it, or, naming this version, where
            there is none.
        """
        handler = await continuation(details)
        method: str = details.method
        if handler is None:  # a client of another version asks: it must learn of which this one is
            return grpc.stream_stream_rpc_method_handler(_unknown(method))  # type: ignore[no-any-return, unused-ignore]
        try:
            by = await self._access.by_metadata(method, details.invocation_metadata or ())
        except AccessError as error:
            return grpc.stream_stream_rpc_method_handler(self._refusing(method, error))  # type: ignore[no-any-return, unused-ignore]
        make, call = _kind(handler)
        # Generated code has it from the message's class itself.
        kind: type[Message] = handler.request_deserializer.__self__  # type: ignore[union-attr]
        if not handler.response_streaming or inspect.iscoroutinefunction(call):
            answer = self._awaited(call, kind, method, by)
        else:
            answer = self._streamed(call, kind, method, by)
        return make(answer, None, handler.response_serializer)  # type: ignore[no-any-return]

    def _awaited(self, call: Any, kind: type[Message], method: str, by: Caller | None) -> Any:
        """Of a method that returns its response, or writes its responses itself."""

        async def answer(data: Any, context: Context) -> Any:
            async with self._span(method, context) as span:
                with self._inside(method, by, context):
                    request = await self._request(data, kind, span)
                    with self._quotas.rows(identity.current.get(), request):
                        response = await call(request, context)
                    span.note(response)
                    return response

        return answer

    def _streamed(self, call: Any, kind: type[Message], method: str, by: Caller | None) -> Any:
        """Of a method that yields its responses."""

        async def answer(data: Any, context: Context) -> AsyncIterator[Any]:
            async with self._span(method, context) as span:
                with self._inside(method, by, context) as visit:
                    request = await self._request(data, kind, span)
                    with self._quotas.rows(identity.current.get(), request):
                        async for response in call(request, context):
                            with visit.away():
                                yield response

        return answer

    def _span(self, method: str, context: Context) -> "CallSpan":
        return CallSpan(self._metrics, method, context, self._access_log, self._traces)

    async def _request(self, data: Any, kind: type[Message], span: "CallSpan") -> Any:
        """What a method is called with, decoded, and noted for the access log."""
        request = await self._decoder.request(data, kind)
        if isinstance(request, Message):
            span.note(request)
            return request
        return _noting_first(request, span)

    @contextmanager
    def _inside(self, method: str, by: Caller | None, context: Context) -> Iterator[Visit]:
        """Let a caller in, and count the call, until the context ends."""
        by = by or self._access.by_certificate(method, context)
        identity.current.set(by.identity)
        with self._access.inside(by) as visit, self._admission.enter(method):
            self._quotas.request(method, by.identity)
            yield visit

    def _refusing(self, method: str, error: AccessError) -> Any:
        """What refuses a call, whatever its request is."""

        async def refuse(requests: Any, context: Context) -> None:
            # Not traced: whoever has no key would fill the traces.
            async with CallSpan(self._metrics, method, context, self._access_log):
                identity.current.set(error.identity)
                raise error

        return refuse


async def _noting_first(requests: AsyncIterator[Any], span: "CallSpan") -> AsyncIterator[Any]:
    """The requests of a stream; the first says what all of it is about."""
    first = True
    async for request in requests:
        if first:
            span.note(request)
            first = False
        yield request


def _unknown(method: str) -> Any:
    """What refuses a method that this server does not have. Neither counted nor logged: the names
    are a stranger's.
    """

    async def refuse(requests: Any, context: Context) -> None:
        await _refuse(method, context)

    return refuse


async def _refuse(method: str, context: Context) -> None:
    message = f"this server, version {VERSION}, has no method {method[:200]}"
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, message, _TRAILER)


def _kind(handler: Any) -> tuple[Any, Any]:
    """What makes a handler of the same kind, and the method that this one calls."""
    if handler.request_streaming:
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler, handler.stream_stream
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary


class CallSpan:
    """The time from the begin of one call to its end: gives it a request id, times it, traces it,
    logs how it ended, and turns exceptions into statuses.
    """

    def __init__(
        self,
        metrics: Metrics,
        method: str,
        context: Context,
        access_log: AccessLog | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._metrics, self._method, self._context = metrics, method, context
        self._access_log, self._named = access_log, dict[str, list[str]]()
        self._traces = None if method.startswith(_QUIET) else traces
        self._traced: TracedCall | None = None

    def note(self, message: Any) -> None:
        """Note what a request or a response names."""
        if self._access_log is not None and isinstance(message, Message):
            for kind, names in named(message).items():
                self._named.setdefault(kind, []).extend(names)

    async def __aenter__(self) -> "CallSpan":
        sent = dict(self._context.invocation_metadata() or ())
        self._id = str(sent.get("x-request-id", ""))[:64] or uuid.uuid4().hex
        request_id.set(self._id)
        ids = {"request_id": self._id}
        if self._traces is not None:
            self._traced = self._traces.call(self._method, sent)
            present.set(self._traced.trace)
            ids |= self._traced.ids
        structlog.contextvars.bind_contextvars(**ids)  # for all log lines of the call
        caller.set(object())  # the id is the caller's choice, and may be another call's too
        # Now: when a call has ended, asking gRPC for its peer ends the process.
        peer.set(self._context.peer())
        self._started = time.monotonic()
        self._context.set_trailing_metadata(_TRAILER)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        if isinstance(error, GeneratorExit | asyncio.CancelledError):
            self._end("CANCELLED", None)
        elif isinstance(error, grpc.aio.AbortError):
            self._end(str(self._context.code() or "ABORTED"), error)
        elif isinstance(error, NotImplementedError) and self._is_missing():
            self._end(grpc.StatusCode.UNIMPLEMENTED.name, error)
            await _refuse(self._method, self._context)
        elif error is not None:
            row = errors.row_of(error)
            if row.code in _REFUSALS:
                self._metrics.refusals.labels(row.reason_name).inc()
            self._end(row.code.name, error)
            await errors.abort(self._context, error, self._id, _TRAILER)
        else:
            self._end("OK", None)

    def _is_missing(self) -> bool:
        """Whether the method is one of a standard service that its library leaves out: generated
        code sets the status, and raises.
        """
        return bool(self._context.code() == grpc.StatusCode.UNIMPLEMENTED)

    def _end(self, code: str, error: BaseException | None) -> None:
        """Count and time the call, and log it."""
        seconds = time.monotonic() - self._started
        self._metrics.requests.labels(self._method, code).inc()
        name = self._metrics.identity(identity.current.get().name)
        self._metrics.requests_by_identity.labels(name, code).inc()
        self._metrics.request_seconds.labels(self._method).observe(seconds)
        self._end_trace(code, error)
        call: dict[str, Any] = {
            "method": self._method,
            "code": code,
            "seconds": round(seconds, 4),
            "request_id": self._id,
        }
        self._tell_access_log(call)
        if code == "INTERNAL":
            log.error("call", **call, exc_info=error)
        elif not self._method.startswith(_QUIET):
            tell = log.debug if self._method == _REPEATED and not error else log.info
            tell("call", **call, **({"error": str(error)} if error else {}))

    def _tell_access_log(self, call: dict[str, Any]) -> None:
        """Who did what; probes that are answered are left out."""
        probe = self._method.startswith("/grpc.health.") and call["code"] == "OK"
        if self._access_log is None or probe:
            return
        who = identity.current.get()
        role = None if who.role is None else who.role.name.lower()
        about = {"identity": who.name, "role": role, "peer": peer.get()}
        self._access_log.write({**about, **call, **self._named})

    def _end_trace(self, code: str, error: BaseException | None) -> None:
        if self._traced is not None:
            unknown = grpc.StatusCode.UNKNOWN
            about: dict[str, str | int] = {
                "striate.request_id": self._id,
                "rpc.grpc.status_code": grpc.StatusCode.__members__.get(code, unknown).value[0],
            }
            if name := identity.current.get().name:
                about["enduser.id"] = name
            self._traced.end(code, error, about)
