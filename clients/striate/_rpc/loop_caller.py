"""Calls on a connection that belongs to an event loop: the same deadlines, names of requests and
typed errors over grpc.aio.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import grpc
import grpc.aio

from striate._rpc.caller import Caller
from striate._rpc.channel import open_async_channel
from striate._rpc.client_span import ClientSpan, Metadata
from striate._rpc.deadline import Deadline
from striate._rpc.first_contact import async_first_contact, tls_problem
from striate._rpc.response_stream import ResponseStream
from striate._rpc.security import PLAIN, Security
from striate._rpc.worker_threads import WorkerThreads
from striate.errors import FailedPrecondition, TLSFailed

Request = TypeVar("Request")
Response = TypeVar("Response")


class LoopCaller(Caller):
    """A channel of the running event loop to one server.

    Coroutines use `ask` and `listen`. `unary` and `stream`, which block, are for the functions that
    `threads` runs: the calls themselves are the loop's.

    Args:
        target: Address of the server, "host:port".
        timeout: Seconds of every call that names none, None for no limit.
        security: TLS, and what tells who calls.
        metadata: Further (key, value) pairs sent with every call.

    Raises:
        InvalidArgument: `target` has no port, or is a URL.
    """

    def __init__(
        self,
        target: str,
        timeout: float | None = None,
        security: Security = PLAIN,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(target, timeout, security, metadata, open_async_channel)
        self.threads = WorkerThreads()

    async def aclose(self) -> None:
        """Cancels running calls and drops the connection."""
        self._closed.set()
        self.threads.close()
        await self._loop_channel.close()

    async def ask(
        self, method: Any, request: Any, timeout: float | None = None, request_id: str = ""
    ) -> Any:
        """Sends one request and waits for its one response; a coroutine that is cancelled cancels
        the call on the server.

        Args:
            method: The stub's method.
            request: The message to send.
            timeout: Seconds, None for the connection's default.
            request_id: Name of the request in the server's log, "" for a new one.

        Returns:
            The response.

        Raises:
            StriateError: The call failed.
        """
        with ClientSpan(method) as span:
            request_id, options = await self._prepared(timeout, request_id, span.metadata)
            call = method(request, **options)
            try:
                response = await call
            except grpc.aio.AioRpcError as error:
                raise self._failure(error, request_id) from None
        self._note_version(await call.trailing_metadata())
        return response

    async def listen(
        self, method: Any, request: Any, timeout: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Sends one request and hands out its many responses; closing the generator, and a
        coroutine that is cancelled, cancel the call on the server.

        Args:
            method: The stub's method.
            request: The message to send.
            timeout: Seconds for all of it, None for the connection's default.

        Yields:
            The responses.

        Raises:
            StriateError: The call failed.
        """
        with ClientSpan(method) as span:
            request_id, options = await self._prepared(timeout, "", span.metadata)
            call = method(request, **options)
            try:
                async for response in call:
                    yield response
                self._note_version(await call.trailing_metadata())
            except grpc.aio.AioRpcError as error:
                raise self._failure(error, request_id) from None
            finally:
                call.cancel()

    def unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None = None,
        request_id: str = "",
    ) -> Response:
        """Waits in a thread of `threads` for what `ask` returns."""
        response: Response = self.threads.wait(self.ask(method, request, timeout, request_id))
        return response

    def stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout: float | None = None,
    ) -> ResponseStream[Response]:
        """Hands out in a thread of `threads` what `listen` yields."""

        def prepare() -> tuple[Callable[[], Any], str]:
            return lambda: _Pulled(self.threads, self.listen(method, request, timeout)), ""

        return ResponseStream(prepare, lambda call: None, self._failure)

    def feed(
        self,
        method: grpc.StreamUnaryMultiCallable[Request, Response],
        requests: Iterable[Request],
        timeout: float | None = None,
    ) -> Response:
        """Refuses: what a caller's own iterator gives is read by `striate.connect` alone.

        Raises:
            FailedPrecondition: Always.
        """
        raise FailedPrecondition("uploads go through a connection of striate.connect")

    @property
    def _loop_channel(self) -> grpc.aio.Channel:
        return cast("grpc.aio.Channel", self.channel)

    async def _prepared(
        self, timeout: float | None, request_id: str, traced: Metadata = ()
    ) -> tuple[str, dict[str, Any]]:
        deadline = self.deadline(timeout)
        if not self._reached:
            error = await async_first_contact(self._loop_channel, deadline.remaining())
            problem = None if error is None else tls_problem(error, self.target, self._security)
            if problem is not None:
                raise TLSFailed(problem)
            self._reached = error is None
        return self._options(deadline.remaining(), request_id, traced)

    def _reach(self, deadline: Deadline) -> None:
        """Nothing is left to do: `_prepared` has made the first contact."""


class _Pulled(Iterator[Any]):
    """A stream of the event loop as what `ResponseStream` reads in a thread."""

    def __init__(self, threads: WorkerThreads, responses: AsyncGenerator[Any, None]) -> None:
        self._threads = threads
        self._responses = responses
        self._ended = False

    def __next__(self) -> Any:
        async def following() -> Any:
            return await anext(self._responses, None)

        response = None if self._ended else self._threads.wait(following())
        if response is None:
            self._ended = True
            raise StopIteration
        return response

    def cancel(self) -> None:
        """Ends the call, unless it has ended."""
        if not self._ended:
            self._ended = True
            self._threads.post(self._responses.aclose())
