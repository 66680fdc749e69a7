"""One connection: its channel, and calls on it that carry deadlines, cancel on Ctrl-C and raise
typed errors.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from striate._rpc.interrupts import held
from striate.errors import Cancelled, FailedPrecondition, from_rpc, invalid

Request = TypeVar("Request")
Response = TypeVar("Response")

MESSAGE_LIMIT = 64 * 2**20  # bytes, either way; the server's limit too
VERSION_KEY = "x-striate-version"  # trailing metadata in which the server names its version

_BACKOFF: dict[str, Any] = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
}
# Starting an operation twice is not the same as starting it once: it is repeated only when the
# server said that it had not begun.
_OPERATIONS = [
    {"service": "striate.v1.InterpretService", "method": "BuildExemplarIndex"},
    {"service": "striate.v1.RobustnessService", "method": "Audit"},
]
# A conversation is not repeated at all: what was said first is not all that there was to say.
_CONVERSATIONS = [{"service": "striate.v1.RobustnessService", "method": "AttackStream"}]
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                **_BACKOFF,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        },
        {
            "name": _OPERATIONS,
            "retryPolicy": {**_BACKOFF, "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]},
        },
        {"name": _CONVERSATIONS},
    ]
}
_CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A call is retried only while its request fits this buffer; the default of 256 KiB would leave
    # out most batches.
    ("grpc.per_rpc_retry_buffer_size", 2 * MESSAGE_LIMIT),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
)


class Deadline:
    """A timeout shared by the several calls that serve one request."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def remaining(self) -> float | None:
        """Seconds left, at least 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


class Caller:
    """A channel to one server. Safe to share among threads, but not among processes.

    target: "host:port"; timeout: seconds of every call that names none, None for no limit;
    credentials: for TLS, None for plain text; metadata: sent with every call.
    """

    def __init__(
        self,
        target: str,
        timeout: float | None,
        credentials: grpc.ChannelCredentials | None,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        if not target:
            raise invalid("target", 'must be "host:port"')
        self.target = target
        self.timeout = timeout
        self.server_version = ""
        self._metadata = tuple(metadata)
        self._closed = False
        self._process = os.getpid()
        if credentials is None:
            self.channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
        else:
            self.channel = grpc.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)

    def close(self) -> None:
        """Cancels running calls and drops the connection."""
        self._closed = True
        self.channel.close()

    def deadline(self, timeout: float | None) -> Deadline:
        """The deadline of a request that takes several calls; None stands for the connection's
        default.
        """
        return Deadline(self.timeout if timeout is None else timeout)

    def unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None = None,
        request_id: str = "",
    ) -> Response:
        """One request, one response. Raises a StriateError; on Ctrl-C the server stops working on
        it.
        """
        identity, options = self._options(timeout, request_id)
        call = None
        try:
            with held():
                call = method.future(request, **options)
            response = call.result()
            self._note_version(call)
        except grpc.RpcError as error:
            raise from_rpc(error, identity) from None
        except BaseException:
            if call is not None:
                call.cancel()
            raise
        return response

    def stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout: float | None = None,
    ) -> Generator[Response, None, None]:
        """One request, many responses. Raises a StriateError; closing the generator or Ctrl-C
        cancels the call on the server.
        """
        identity, options = self._options(timeout, "")
        call = None
        try:
            with held():
                call = method(request, **options)
            yield from call
            self._note_version(call)
        except grpc.RpcError as error:
            raise from_rpc(error, identity) from None
        finally:
            if call is not None:
                call.cancel()  # without effect on a call that has ended

    def feed(
        self,
        method: grpc.StreamUnaryMultiCallable[Request, Response],
        requests: Iterable[Request],
        timeout: float | None = None,
    ) -> Response:
        """Many requests, made one by one in a thread of gRPC, and one response.

        Raises a StriateError, or what the iterable raised: the server then never learns of an end,
        only that the call was cancelled.
        """
        identity, options = self._options(timeout, "")
        feeder = _Feeder(requests)
        try:
            with held():
                call = method.future(feeder, **options)
                feeder.begin(call)
            response = call.result()
            self._note_version(call)
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            if feeder.failure is not None:
                raise feeder.failure from None
            raise (
                from_rpc(error, identity)
                if isinstance(error, grpc.RpcError)
                else Cancelled("the call was cancelled")
            ) from None
        finally:
            feeder.end()
        return response

    @contextmanager
    def conversation(
        self,
        method: grpc.StreamStreamMultiCallable[Request, Response],
        requests: Iterator[Request],
        timeout: float | None,
    ) -> Iterator[Iterator[Response]]:
        """Many requests, which gRPC takes in a thread of its own and which must not raise, and many
        responses, to be read in any thread; reading them raises a StriateError. Leaving the block
        cancels the call on the server.

        timeout: seconds for the whole of it, None for no limit, whatever the connection's default
        says about single calls.
        """
        identity, options = self._options(timeout, "")
        call = None
        try:
            with held():
                call = method(requests, **options | {"timeout": timeout})
            yield self._read(call, identity)
        finally:
            if call is not None:
                call.cancel()  # without effect on a call that has ended

    def _read(self, call: Any, identity: str) -> Iterator[Any]:
        try:
            yield from call
            self._note_version(call)
        except grpc.RpcError as error:
            raise from_rpc(error, identity) from None

    def _options(self, timeout: float | None, request_id: str) -> tuple[str, dict[str, Any]]:
        if self._closed:
            raise FailedPrecondition(f"the connection to {self.target} is closed")
        if os.getpid() != self._process:  # gRPC would hang: its threads are not in a forked process
            raise FailedPrecondition(
                f"the connection to {self.target} belongs to process {self._process}: open "
                f"one in every process"
            )
        identity = request_id or new_request_id()
        seconds = self.timeout if timeout is None else timeout
        return identity, {
            "timeout": seconds,
            "metadata": (("x-request-id", identity), *self._metadata),
        }

    def _note_version(self, call: Any) -> None:
        """Remembers the version that the server names at the end of its calls."""
        found = (value for key, value in call.trailing_metadata() or () if key == VERSION_KEY)
        self.server_version = next(found, self.server_version)


class _Feeder(Iterator[Request]):
    """Requests as gRPC takes them. It would log an exception of theirs and lose it: here it is
    kept, and the call cancelled.
    """

    def __init__(self, requests: Iterable[Request]) -> None:
        self.failure: BaseException | None = None
        self._requests = requests
        self._items: Iterator[Request] | None = None
        self._call: Any = None
        self._begun = threading.Event()

    def begin(self, call: Any) -> None:
        """Lets the first request go, now that there is a call to cancel."""
        self._call = call
        self._begun.set()

    def end(self) -> None:
        """Cancels a call that has not ended, and lets gRPC's thread go."""
        if self._call is not None:
            self._call.cancel()
        self._begun.set()

    def __next__(self) -> Request:
        self._begun.wait()
        if self._call is None:  # no call came about
            raise StopIteration
        try:
            self._items = iter(self._requests) if self._items is None else self._items
            return next(self._items)
        except StopIteration:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again where the response is waited for; SystemExit too
            self.failure = error
            self._call.cancel()
            raise StopIteration from None


def new_request_id() -> str:
    """A fresh name for a request, as it appears in the server's log."""
    return uuid.uuid4().hex
