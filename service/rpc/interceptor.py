"""What every call passes on its way to its handler: who calls, how many there are, and decoding."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import Message

from service.auth import identity
from service.auth.access_log import AccessLog
from service.auth.errors import AccessError
from service.auth.usage import Meter
from service.engine.metrics import Metrics
from service.process.tracing import Traces
from service.rpc.call_span import CallSpan, refuse_unknown
from service.rpc.context import Context
from service.rpc.doors.access import Access, Caller, Visit
from service.rpc.doors.admission import Admission
from service.rpc.doors.decoding import Decoder
from service.rpc.doors.quotas import Quotas


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

    def _span(self, method: str, context: Context) -> CallSpan:
        return CallSpan(self._metrics, method, context, self._access_log, self._traces)

    async def _request(self, data: Any, kind: type[Message], span: CallSpan) -> Any:
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


async def _noting_first(requests: AsyncIterator[Any], span: CallSpan) -> AsyncIterator[Any]:
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
        await refuse_unknown(method, context)

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
