"""The responses of a streaming call, which any thread may close."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc

from striate._rpc.interrupts import held
from striate.errors import StriateError

Response = TypeVar("Response")


class ResponseStream(Iterator[Response]):
    """The responses of one call, which begins with the first of them.

    Going through it raises a StriateError where the call fails. `close()`, Ctrl-C while waiting and
    dropping the last reference cancel the call on the server; a closed stream ends.

    Args:
        prepare: Called before the call; returns what begins it, and the request's id.
        on_end: Called with the call when it has ended well.
        failure: Makes the error to raise of the call's failure and the request's id.
    """

    def __init__(
        self,
        prepare: Callable[[], tuple[Callable[[], Any], str]],
        on_end: Callable[[Any], object],
        failure: Callable[[grpc.RpcError, str], StriateError],
    ) -> None:
        self._prepare = prepare
        self._on_end = on_end
        self._failure = failure
        self._call: Any = None
        self._request_id = ""
        self._closed = False

    def start(self) -> None:
        """Begins the call, unless it has begun."""
        if self._call is None:
            begin, self._request_id = self._prepare()
            with held():
                self._call = begin()
            if self._closed:  # by another thread in the meantime
                self._call.cancel()

    def close(self) -> None:
        """Cancels the call on the server; without effect on one that has ended."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    def __next__(self) -> Response:
        if self._closed:
            raise StopIteration
        try:
            self.start()
            response: Response = next(self._call)
        except StopIteration:
            self._on_end(self._call)
            raise
        except grpc.RpcError as error:
            if self._closed:
                raise StopIteration from None
            raise self._failure(error, self._request_id) from None
        except BaseException:
            self.close()
            raise
        return response

    def __del__(self) -> None:
        self.close()
