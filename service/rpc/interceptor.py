"""What every call gets, in one interceptor: a request id, a log line, metrics, and errors from the
one table.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog

from service.engine.metrics import Metrics
from service.rpc import errors
from service.rpc.context import VERSION, Context, request_id

log = structlog.get_logger("striate")
_TRAILER = (
    ("x-striate-version", VERSION),
)  # in every answer, also of services that have no provenance
_QUIET = ("/grpc.health.", "/grpc.reflection.")  # probed every few seconds: counted, not logged


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg, unused-ignore]
    """Wraps every method, but of the standard services those whose requests stream."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]
        ],
        details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = await continuation(details)
        method: str = details.method
        if handler is None or (handler.request_streaming and not method.startswith("/striate.")):
            return handler
        kinds: dict[tuple[bool, bool], tuple[Any, Any, Any]] = {
            (False, False): (grpc.unary_unary_rpc_method_handler, self._unary, handler.unary_unary),
            (False, True): (
                grpc.unary_stream_rpc_method_handler,
                self._stream,
                handler.unary_stream,
            ),
            (True, False): (
                grpc.stream_unary_rpc_method_handler,
                self._unary,
                handler.stream_unary,
            ),
            (True, True): (
                grpc.stream_stream_rpc_method_handler,
                self._stream,
                handler.stream_stream,
            ),
        }
        make, attend, call = kinds[handler.request_streaming, handler.response_streaming]
        return make(attend(call, method), handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]

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


class CallSpan:
    """The span of one call: names it, times it, logs how it ended, and turns exceptions into
    statuses.
    """

    def __init__(self, metrics: Metrics, method: str, context: Context) -> None:
        self._metrics, self._method, self._context = metrics, method, context

    async def __aenter__(self) -> None:
        sent = dict(self._context.invocation_metadata() or ())
        self._id = str(sent.get("x-request-id", ""))[:64] or uuid.uuid4().hex
        request_id.set(self._id)
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
        seconds = time.monotonic() - self._started
        self._metrics.requests.labels(self._method, code).inc()
        self._metrics.request_seconds.labels(self._method).observe(seconds)
        if code == "INTERNAL":
            log.error(
                "call",
                method=self._method,
                code=code,
                seconds=round(seconds, 4),
                request_id=self._id,
                exc_info=error,
            )
        elif not self._method.startswith(_QUIET):
            said = {"error": str(error)} if error else {}
            log.info(
                "call",
                method=self._method,
                code=code,
                seconds=round(seconds, 4),
                request_id=self._id,
                **said,
            )
