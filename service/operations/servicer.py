"""The standard service google.longrunning.Operations."""

import re
from collections.abc import Iterator
from typing import Any

import grpc
from google.longrunning.operations_pb2 import (  # type: ignore[import-untyped, unused-ignore]
    CancelOperationRequest,
    DeleteOperationRequest,
    GetOperationRequest,
    ListOperationsRequest,
    ListOperationsResponse,
    Operation,
    WaitOperationRequest,
)
from google.longrunning.operations_pb2_grpc import OperationsServicer  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.empty_pb2 import Empty

from service.operations.errors import InvalidListing
from service.operations.runner import Operations

LONGEST_WAIT = 86_400.0  # seconds
DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
MOST_SHOWN = 100  # characters of a filter's term, in the error about it
_KIND = re.compile(r'"?([\w.-]+)"?')

ServicerContext = grpc.aio.ServicerContext[Any, Any]


class OperationsService(OperationsServicer):  # type: ignore[misc, unused-ignore]
    """Answers Get, List, Wait, Cancel and Delete. What is refused raises OperationsError, which
    `service.rpc.interceptor` turns into a status.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def GetOperation(
        self, request: GetOperationRequest, context: ServicerContext
    ) -> Operation:
        """Return an operation as it is now; NOT_FOUND for a name that does not exist."""
        return await self._operations.get(request.name)

    async def WaitOperation(
        self, request: WaitOperationRequest, context: ServicerContext
    ) -> Operation:
        """Return an operation when it is done, or as it is after `timeout`; without one, the
        call's deadline is the limit.
        """
        timeout = (
            min(request.timeout.seconds + request.timeout.nanos / 1e9, LONGEST_WAIT)
            if request.HasField("timeout")
            else None
        )
        return await self._operations.wait(request.name, timeout)

    async def CancelOperation(
        self, request: CancelOperationRequest, context: ServicerContext
    ) -> Empty:
        """Ask an operation to end: it is done a moment later, with error CANCELLED. Nothing
        happens to one that is done.
        """
        await self._operations.cancel(request.name)
        return Empty()

    async def DeleteOperation(
        self, request: DeleteOperationRequest, context: ServicerContext
    ) -> Empty:
        """Forget an operation; FAILED_PRECONDITION for one that is not done."""
        await self._operations.delete(request.name)
        return Empty()

    async def ListOperations(
        self, request: ListOperationsRequest, context: ServicerContext
    ) -> ListOperationsResponse:
        """List operations, newest first, `page_size` at a time: 1 to 1000, default 50. The filter
        may hold "done=true" or "done=false" and "kind=NAME", joined by AND.
        """
        if request.name.rstrip("/") not in ("", "operations"):
            raise InvalidListing("name", f'must be empty or "operations", not {request.name!r}')
        if request.page_size < 0:
            raise InvalidListing(
                "page_size", f"must be from 0 to {LARGEST_PAGE}, not {request.page_size}"
            )
        if request.page_token and not re.fullmatch(r"operations/[0-9a-f]+", request.page_token):
            raise InvalidListing(
                "page_token", "must be empty or the next_page_token of an earlier page"
            )
        kind, done = _filter(request.filter)
        size = min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE)
        found = await self._operations.page(size + 1, request.page_token or None, kind, done)
        token = found[size - 1].name if len(found) > size else ""
        return ListOperationsResponse(operations=found[:size], next_page_token=token)


def _filter(text: str) -> tuple[str | None, bool | None]:
    """The kind that a filter asks for, and whether done; None where it does not. Reads every
    character a fixed number of times. Raises InvalidListing.
    """
    kind: str | None = None
    done: bool | None = None
    words = text.split()
    for term in _terms(words) if words else ():
        key, _, value = (part.strip() for part in term.partition("="))
        if key == "done" and value in ("true", "false"):
            done = value == "true"
        elif key == "kind" and (name := _KIND.fullmatch(value)):
            kind = name[1]
        else:
            raise InvalidListing(
                "filter",
                f"{term[:MOST_SHOWN]!r} is not understood: use done=true, done=false or kind=NAME, "
                f"joined by AND",
            )
    return kind, done


def _terms(words: list[str]) -> Iterator[str]:
    """What stands between the ANDs."""
    begin = 0
    for place, word in enumerate([*words, "AND"]):
        if word == "AND":
            yield " ".join(words[begin:place])
            begin = place + 1
