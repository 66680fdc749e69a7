"""Requests as gRPC takes them: in a thread of its own, which would lose what they raise."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Request = TypeVar("Request")


class Feeder(Iterator[Request]):
    """Hands requests to gRPC. What their iterable raises is kept in `failure`, and the call
    cancelled.

    Attributes:
        failure: What the iterable raised, None if nothing.
    """

    def __init__(self, requests: Iterable[Request]) -> None:
        self.failure: BaseException | None = None
        self._requests = requests
        self._items: Iterator[Request] | None = None
        self._call: Any = None
        self._started = threading.Event()

    def start(self, call: Any) -> None:
        """Lets the first request go, now that there is a call to cancel.

        Args:
            call: The call that takes the requests.
        """
        self._call = call
        self._started.set()

    def stop(self) -> None:
        """Cancels a call that has not ended, and lets gRPC's thread go."""
        if self._call is not None:
            self._call.cancel()
        self._started.set()

    def __next__(self) -> Request:
        self._started.wait()
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
