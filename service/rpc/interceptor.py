"""What every call gets: a request id, a log line, metrics, and errors from the one table."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog

from service.engine.metrics import Metrics
from service.rpc import errors
from service.rpc.context import VERSION, Context, caller, request_id

log = structlog.get_logger("striate")
# In every answer, also of services that have no provenance.
_TRAILER = (("x-striate-version", VERSION),)
_QUIET = ("/grpc.health.", "/grpc.reflection.")  # probed every few seconds: counted, not logged
# Asked again about every second by everyone who waits for an operation.
_REPEATED = "/google.longrunning.Operations/WaitOperation"


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg, unused-ignore]
    """Wraps the methods of all services in a `CallSpan`, but of the standard services not those
    whose requests stream.

    Args:
        metrics: counts and times every call.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

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
            The wrapped handler; the handler as it is for a foreign method whose requests are a
            stream; one that refuses the call and names this version if there is none.
        """
        handler = await continuation(details)
        method: str = details.method
        if handler is None:  # a client of another version asks: it must learn of which this one is
            return grpc.stream_stream_rpc_method_handler(_unknown(method))  # type: ignore[no-any-return, unused-ignore]
        if handler.request_streaming and not method.startswith("/striate."):
            return handler
        wrap = self._stream if handler.response_streaming else self._unary
        make, call = _kind(handler)
        return make(wrap(call, method), handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]

    def _unary(self, call: Any, method: str) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            async with CallSpan(self._metrics, method, context):
                return await call(request, context)

        return answer

    def _stream(self, call: Any, method: str) -> Any:
        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            async with CallSpan(self._metrics, method, context):
                async for response in call(request, context):
                    yield response

        return answer


def _unknown(method: str) -> Any:
    """What refuses a method that this server does not have. Neither counted nor logged: the names
    are a stranger's.
    """

    async def refuse(requests: Any, context: Context) -> None:
        message = f"this server, version {VERSION}, has no method {method[:200]}"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, message, _TRAILER)

    return refuse


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
    """The time from the begin of one call to its end: gives it a request id, times it, logs how it
    ended, and turns exceptions into statuses.
    """

    def __init__(self, metrics: Metrics, method: str, context: Context) -> None:
        self._metrics, self._method, self._context = metrics, method, context

    async def __aenter__(self) -> None:
        sent = dict(self._context.invocation_metadata() or ())
        self._id = str(sent.get("x-request-id", ""))[:64] or uuid.uuid4().hex
        request_id.set(self._id)
        caller.set(object())  # the id is the caller's choice, and may be another call's too
        self._started = time.monotonic()
        self._context.set_trailing_metadata(_TRAILER)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        if isinstance(error, GeneratorExit | asyncio.CancelledError):
            self._end("CANCELLED", None)
        elif isinstance(error, grpc.aio.AbortError):
            self._end(str(self._context.code() or "ABORTED"), error)
        elif error is not None:
            self._end(errors.row_of(error).code.name, error)
            await errors.abort(self._context, error, self._id, _TRAILER)
        else:
            self._end("OK", None)

    def _end(self, code: str, error: BaseException | None) -> None:
        """Count and time the call, and log it."""
        seconds = time.monotonic() - self._started
        self._metrics.requests.labels(self._method, code).inc()
        self._metrics.request_seconds.labels(self._method).observe(seconds)
        call: dict[str, Any] = {
            "method": self._method,
            "code": code,
            "seconds": round(seconds, 4),
            "request_id": self._id,
        }
        if code == "INTERNAL":
            log.error("call", **call, exc_info=error)
        elif not self._method.startswith(_QUIET):
            tell = log.debug if self._method == _REPEATED and not error else log.info
            tell("call", **call, **({"error": str(error)} if error else {}))
