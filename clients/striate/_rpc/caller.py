"""Calls on one connection: they carry deadlines, cancel on Ctrl-C and raise typed errors."""

from __future__ import annotations

import copy
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, TypeVar

import grpc

from striate._rpc.channel import open_channel
from striate._rpc.client_span import ClientSpan, Metadata
from striate._rpc.deadline import Deadline
from striate._rpc.feeder import Feeder
from striate._rpc.first_contact import first_contact, tls_problem
from striate._rpc.interrupts import held
from striate._rpc.response_stream import ResponseStream
from striate._rpc.security import PLAIN, Security, token_metadata
from striate._rpc.target import check_target
from striate._rpc.versions import WAY_ON, client_version, doubt, understand
from striate.errors import (
    Cancelled,
    FailedPrecondition,
    StriateError,
    TLSFailed,
    Unimplemented,
    from_rpc,
)
from striate.errors.user_warnings import warn_user

Request = TypeVar("Request")
Response = TypeVar("Response")

VERSION_KEY = "x-striate-version"  # trailing metadata in which the server names its version


class Caller:
    """A channel to one server. Safe to share among threads, but not among processes.

    Args:
        target: Address of the server, "host:port".
        timeout: Seconds of every call that names none, None for no limit.
        security: TLS, and what tells who calls.
        metadata: Further (key, value) pairs sent with every call.
        open_channel: Opens the channel.

    Raises:
        InvalidArgument: `target` has no port, or is a URL.
    """

    def __init__(
        self,
        target: str,
        timeout: float | None = None,
        security: Security = PLAIN,
        metadata: Sequence[tuple[str, str]] = (),
        open_channel: Callable[[str, grpc.ChannelCredentials | None], Any] = open_channel,
    ) -> None:
        self.target = check_target(target)
        self.timeout = timeout
        self.server_version = ""
        self._warned = False
        self._security = security
        self._metadata = (*security.metadata, *metadata)
        self._reached = False
        self._closed = threading.Event()
        self._process = os.getpid()
        self.channel: grpc.Channel = open_channel(target, security.credentials)

    def close(self) -> None:
        """Cancels running calls and drops the connection, also for whoever shares it."""
        self._closed.set()
        self.channel.close()

    def with_metadata(
        self, metadata: Sequence[tuple[str, str]] = (), token: str | None = None
    ) -> Self:
        """Makes a caller that shares this one's channel and speaks for somebody else.

        Args:
            metadata: (key, value) pairs sent with every call instead of this one's of those keys.
            token: Whose token is sent, None for this one's, "" for nobody's.

        Returns:
            The caller. Closing it closes the channel of both.

        Raises:
            InvalidArgument: The token is none, or would travel in the clear.
        """
        added = (*token_metadata(self.target, self._security, token), *metadata)
        replaced = {key for key, _ in added} | ({"authorization"} if token == "" else set())
        twin = copy.copy(self)
        twin._metadata = (*(one for one in self._metadata if one[0] not in replaced), *added)
        return twin

    def deadline(self, timeout: float | None) -> Deadline:
        """Sets the deadline of a request that takes several calls.

        Args:
            timeout: Seconds, None for the connection's default.

        Returns:
            The deadline.
        """
        return Deadline(self.timeout if timeout is None else timeout)

    def unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None = None,
        request_id: str = "",
    ) -> Response:
        """Sends one request and waits for its one response; Ctrl-C cancels the call on the server.

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
            request_id, options = self._options(timeout, request_id, span.metadata)
            response: Response
            try:
                if threading.current_thread() is threading.main_thread():
                    response, call = _interruptible(partial(method.future, request, **options))
                else:  # no interrupt comes here, and no thread need be started for the call
                    response, call = method.with_call(request, **options)
            except grpc.RpcError as error:
                raise self._failure(error, request_id) from None
        self._note_version(call.trailing_metadata())
        return response

    def stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout: float | None = None,
    ) -> ResponseStream[Response]:
        """Sends one request and hands out its many responses; the call begins with the first.

        Args:
            method: The stub's method.
            request: The message to send.
            timeout: Seconds for all of it, None for the connection's default.

        Returns:
            The responses. Closing them, from any thread, cancels the call on the server.
        """

        def prepare() -> tuple[Callable[[], Any], str]:
            span = ClientSpan(method)
            request_id, options = self._options(timeout, "", span.metadata)
            return partial(_begun, span, partial(method, request, **options)), request_id

        return ResponseStream(prepare, self._note_end, self._failure)

    def feed(
        self,
        method: grpc.StreamUnaryMultiCallable[Request, Response],
        requests: Iterable[Request],
        timeout: float | None = None,
    ) -> Response:
        """Sends many requests, made one by one in a thread of gRPC, and waits for one response.

        Args:
            method: The stub's method.
            requests: The messages to send.
            timeout: Seconds for all of it, None for the connection's default.

        Returns:
            The response.

        Raises:
            StriateError: The call failed.
            BaseException: Whatever the iterable raised: the server then learns of no end, only that
                the call was cancelled.
        """
        span = ClientSpan(method)
        request_id, options = self._options(timeout, "", span.metadata)
        feeder = Feeder(requests)
        try:
            with held():
                call = _begun(span, partial(method.future, feeder, **options))
                feeder.start(call)
            response: Response = call.result()
            self._note_version(call.trailing_metadata())
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            if feeder.failure is not None:
                raise feeder.failure from None
            raise (
                self._failure(error, request_id)
                if isinstance(error, grpc.RpcError)
                else Cancelled("the call was cancelled")
            ) from None
        finally:
            feeder.stop()
        return response

    @contextmanager
    def conversation(
        self,
        method: grpc.StreamStreamMultiCallable[Request, Response],
        requests: Iterator[Request],
        timeout: float | None,
    ) -> Iterator[Iterator[Response]]:
        """Sends many requests and hands out many responses; leaving the block cancels the call.

        Args:
            method: The stub's method.
            requests: The messages to send. gRPC takes them in a thread of its own; they must not
                raise.
            timeout: Seconds for the whole of it, None for no limit, whatever the connection's
                default says about single calls.

        Yields:
            The responses, to be read in any thread; reading them raises a StriateError.
        """

        def prepare() -> tuple[Callable[[], Any], str]:
            span = ClientSpan(method)
            request_id, options = self._options(timeout, "", span.metadata)
            begin = partial(method, requests, **options | {"timeout": timeout})
            return partial(_begun, span, begin), request_id

        responses = ResponseStream[Response](prepare, self._note_end, self._failure)
        responses.start()
        try:
            yield responses
        finally:
            responses.close()

    def _options(
        self, timeout: float | None, request_id: str, traced: Metadata = ()
    ) -> tuple[str, dict[str, Any]]:
        if self._closed.is_set():
            raise FailedPrecondition(f"the connection to {self.target} is closed")
        if os.getpid() != self._process:  # gRPC would hang: its threads are not in a forked process
            raise FailedPrecondition(
                f"the connection to {self.target} belongs to process {self._process}: open "
                f"one in every process"
            )
        request_id = request_id or new_request_id()
        deadline = self.deadline(timeout)
        self._reach(deadline)
        return request_id, {
            "timeout": deadline.remaining(),
            "metadata": (("x-request-id", request_id), *traced, *self._metadata),
        }

    def _reach(self, deadline: Deadline) -> None:
        """Makes the first contact, once. Whatever but TLS goes wrong, the call itself will tell."""
        if self._reached:
            return
        error = first_contact(self.channel, deadline.remaining())
        self._reached = error is None
        problem = None if error is None else tls_problem(error, self.target, self._security)
        if problem is not None:
            raise TLSFailed(problem)

    def _note_end(self, call: Any) -> None:
        self._note_version(call.trailing_metadata())

    def _note_version(self, trailing: Iterable[tuple[str, Any]] | None) -> None:
        """Remembers the version that the server names at the end of its calls, and warns once if it
        is too far from the client's.
        """
        found = (value for key, value in trailing or () if key == VERSION_KEY)
        self.server_version = next(found, self.server_version)
        if not self._warned and not understand(client_version(), self.server_version):
            self._warned = True
            warn_user((doubt(client_version(), self.server_version, self.target),))

    def _failure(self, error: grpc.RpcError, request_id: str) -> StriateError:
        """The typed error of a failed call; one for an unknown call names both versions, if they
        differ.
        """
        self._note_end(error)
        problem = tls_problem(error, self.target, self._security)
        failure = TLSFailed(problem) if problem else from_rpc(error, request_id)
        ours, theirs = client_version(), self.server_version
        if isinstance(failure, Unimplemented) and ours and theirs and ours != theirs:
            failure.args = (f"{failure} (the client is {ours}, the server {theirs}; {WAY_ON})",)
        return failure


def _begun(span: ClientSpan, begin: Callable[[], Any]) -> Any:
    """Begins a call that ends its span, whoever ends it."""
    call = begin()
    if span.metadata:
        call.add_done_callback(span.ended)
    return call


def _interruptible(start: Callable[[], Any]) -> tuple[Any, Any]:
    """The result of a call, and the call. An interrupt cancels it: `with_call`, which starts no
    thread for the call, now and then leaves it running on the server.
    """
    call = None
    try:
        with held():
            call = start()
        return call.result(), call
    except grpc.RpcError:
        raise
    except BaseException:
        if call is not None:
            call.cancel()
        raise


def new_request_id() -> str:
    """Makes a fresh name for a request, as it appears in the server's log."""
    return uuid.uuid4().hex
