"""The google.longrunning.Operations calls of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.longrunning import operations_pb2  # type: ignore[import-untyped, unused-ignore]
from google.protobuf import duration_pb2

if TYPE_CHECKING:
    from striate._rpc.caller import Caller


class OperationCalls:
    """The google.longrunning.Operations calls of a connection.

    Every call takes a timeout in seconds, None for the connection's default, and raises a
    StriateError.

    Args:
        caller: The connection.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self._stub = operations_pb2.OperationsStub(caller.channel)

    def get(self, name: str, timeout: float | None) -> Any:
        """Reads the state of an operation.

        Args:
            name: Of the operation.
            timeout: Seconds, None for the connection's default.

        Returns:
            The state, a google.longrunning.Operation.

        Raises:
            OperationNotFound: No operation is called so.
        """
        return self.caller.unary(
            self._stub.GetOperation, operations_pb2.GetOperationRequest(name=name), timeout
        )

    def list(self, timeout: float | None) -> list[Any]:
        """Reads the states of all operations that the server remembers, page by page.

        Args:
            timeout: Seconds for all pages, None for the connection's default.

        Returns:
            The states, each a google.longrunning.Operation.
        """
        deadline, found, token = self.caller.deadline(timeout), [], ""
        while True:
            request = operations_pb2.ListOperationsRequest(page_token=token)
            page: Any = self.caller.unary(self._stub.ListOperations, request, deadline.remaining())
            found += page.operations
            token = page.next_page_token
            if not token:
                return found

    def wait(self, name: str, seconds: float, timeout: float | None) -> Any:
        """Reads the state of an operation when it has ended, or after so many seconds.

        Args:
            name: Of the operation.
            seconds: That the server waits at most, from 0.
            timeout: Seconds of the call, more than these, None for the connection's default.

        Returns:
            The state, which says whether it has ended.

        Raises:
            OperationNotFound: No operation is called so.
        """
        limit = duration_pb2.Duration(nanos=int(seconds * 1e9) % 10**9, seconds=int(seconds))
        return self.caller.unary(
            self._stub.WaitOperation,
            operations_pb2.WaitOperationRequest(name=name, timeout=limit),
            timeout,
        )

    def cancel(self, name: str, timeout: float | None) -> None:
        """Asks the server to stop an operation; one that has ended stays as it is.

        Args:
            name: Of the operation.
            timeout: Seconds, None for the connection's default.

        Raises:
            OperationNotFound: No operation is called so.
        """
        self.caller.unary(
            self._stub.CancelOperation, operations_pb2.CancelOperationRequest(name=name), timeout
        )

    def delete(self, name: str, timeout: float | None) -> None:
        """Makes the server forget an operation that has ended.

        Args:
            name: Of the operation.
            timeout: Seconds, None for the connection's default.

        Raises:
            OperationNotFound: No operation is called so.
            OperationRunning: It has not ended.
        """
        self.caller.unary(
            self._stub.DeleteOperation, operations_pb2.DeleteOperationRequest(name=name), timeout
        )
