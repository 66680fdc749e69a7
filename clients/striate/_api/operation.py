"""Work that takes minutes: a handle on a google.longrunning.Operation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError

from striate._api.operations import OperationCalls
from striate._rpc.caller import Caller
from striate._rpc.deadline import Deadline
from striate.errors import DeadlineExceeded, Internal, StriateError, from_status
from striate.results.audit import AuditProgress, AuditReport
from striate.results.index import IndexProgress, IndexReport
from striate.results.listing import operation_facts

# Seconds that one call waits on the server. Progress is asked for every second; where nobody looks
# at it, a call ends with the work, or in time to see that the server has gone.
_PROGRESS_WAIT = 1.0
_LONGEST_WAIT = 60.0
_SHORTEST_WAIT = 0.1  # seconds between calls when the server does not wait


# (the packed message, the connection, the operation's name) -> the value
_Reader = Callable[[bytes, Caller, str], Any]
_READERS: dict[str, _Reader] = {
    "striate.v1.BuildExemplarIndexMetadata": IndexProgress.read,
    "striate.v1.BuildExemplarIndexResponse": IndexReport.read,
    "striate.v1.AuditMetadata": AuditProgress.read,
    "striate.v1.AuditResponse": AuditReport.read,
}


class Operation:
    """Work on the server that outlives the connection.

    `metadata` and `done` are as the server last said: `refresh` asks again.
    """

    def __init__(self, operations: OperationCalls, state: Any) -> None:
        self._operations = operations
        self._state = state

    def __repr__(self) -> str:
        return f"Operation({self.name!r}, done={self.done}, metadata={self.metadata!r})"

    @property
    def name(self) -> str:
        """The name by which `Service.operation` finds it, also after a restart."""
        return str(self._state.name)

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return bool(self._state.done)

    @property
    def metadata(self) -> Any:
        """Its progress, an IndexProgress or an AuditProgress; None without any."""
        return self._read(self._state.metadata) if self._state.HasField("metadata") else None

    @property
    def error(self) -> StriateError | None:
        """Why it failed; None if it has not."""
        return from_status(self._state.error) if self._state.HasField("error") else None

    def _repr_html_(self) -> str:
        progress = self.metadata
        known = isinstance(progress, IndexProgress | AuditProgress)
        return operation_facts(self.name, self.done, progress if known else None, self.error)

    def refresh(self, *, timeout: float | None = None) -> Operation:
        """Asks the server for its state.

        Args:
            timeout: Seconds, None for the connection's default.

        Returns:
            The operation itself.

        Raises:
            OperationNotFound: The server has forgotten it.
        """
        self._state = self._operations.get(self.name, timeout)
        return self

    def wait(
        self, *, timeout: float | None = None, on_progress: Callable[[Any], object] | None = None
    ) -> Any:
        """Waits for the end. Ctrl-C ends the waiting, not the work.

        Args:
            timeout: Seconds, None for as long as it takes.
            on_progress: Called with `metadata` about every second and at the end.

        Returns:
            The result, an IndexReport or an AuditReport.

        Raises:
            DeadlineExceeded: The timeout passed; the work goes on: see `cancel`.
            StriateError: The operation failed.
        """
        deadline = Deadline(timeout)
        while not self.done:
            try:
                self._poll(deadline, _LONGEST_WAIT if on_progress is None else _PROGRESS_WAIT)
            except DeadlineExceeded:
                if deadline.remaining() != 0:
                    raise  # the connection's default, too short for one call
            if not self.done and deadline.remaining() == 0:
                raise DeadlineExceeded(
                    f"{self.name} has not ended within {timeout:g} seconds; it goes on"
                )
            if on_progress is not None:
                on_progress(self.metadata)
        return self.result()

    def result(self) -> Any:
        """Reads the result, and waits for it if need be.

        Returns:
            An IndexReport or an AuditReport.

        Raises:
            StriateError: The operation failed.
        """
        if not self.done:
            return self.wait()
        if (error := self.error) is not None:
            raise error
        return self._read(self._state.response)

    def cancel(self, *, timeout: float | None = None) -> None:
        """Asks the server to stop the work, which then ends with the error Cancelled.

        Args:
            timeout: Seconds, None for the connection's default.
        """
        self._operations.cancel(self.name, timeout)

    def delete(self, *, timeout: float | None = None) -> None:
        """Makes the server forget an operation that is done.

        Args:
            timeout: Seconds, None for the connection's default.

        Raises:
            OperationRunning: It has not ended.
        """
        self._operations.delete(self.name, timeout)

    def _poll(self, deadline: Deadline, longest: float) -> None:
        """One call that returns at the end of the work, or after `longest` seconds."""
        limit = self._operations.caller.timeout if (left := deadline.remaining()) is None else left
        pause = (
            longest if limit is None else min(longest, limit / 2)
        )  # the reply comes before the call's own deadline
        began = time.monotonic()
        self._state = self._operations.wait(self.name, pause, limit)
        if not self.done:  # a server may answer a wait early
            time.sleep(max(0.0, min(_SHORTEST_WAIT, pause) - (time.monotonic() - began)))

    def _read(self, packed: any_pb2.Any) -> Any:
        """The value in an Any of a type that the client knows; the Any itself for types of later
        servers.
        """
        reader = _READERS.get(packed.type_url.rpartition("/")[2])
        try:
            return reader(packed.value, self._operations.caller, self.name) if reader else packed
        except DecodeError as error:
            raise Internal(f"the server sent a broken {packed.type_url}: {error}") from None
