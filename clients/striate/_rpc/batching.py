"""A request too large for one message, sent in several as if it were one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import grpc

from striate._rpc.caller import Caller, new_request_id
from striate.errors import FailedPrecondition, Internal, StriateError
from striate.errors.rows import moved
from striate.provenance import Provenance
from striate.v1 import types_pb2

Request = TypeVar("Request")


class _WithProvenance(Protocol):
    """A response that says where it came from."""

    @property
    def provenance(self) -> types_pb2.Provenance: ...


Response = TypeVar("Response", bound=_WithProvenance)


def send(
    caller: Caller,
    method: grpc.UnaryUnaryMultiCallable[Request, Response],
    spans: Sequence[range],
    request: Callable[[range], Request],
    timeout: float | None,
) -> tuple[list[Response], Provenance]:
    """Sends a request for each span of rows, one after another under one deadline.

    Args:
        caller: The connection.
        method: The stub's method.
        spans: The rows of each message.
        request: Makes the message of some rows.
        timeout: Seconds for all of them, None for the connection's default.

    Returns:
        The responses in order, and their common provenance. They share one request id, which has
        ".0", ".1", ... behind it in the server's log if the spans are several.

    Raises:
        FailedPrecondition: The model changed in between.
        StriateError: A call failed.
    """
    deadline, request_id = caller.deadline(timeout), new_request_id()
    names = (
        [request_id]
        if len(spans) == 1
        else [f"{request_id}.{number}" for number in range(len(spans))]
    )
    responses = [
        _sent(caller, method, request(rows), deadline.remaining(), name, rows.start)
        for rows, name in zip(spans, names, strict=True)
    ]
    found = [Provenance.read(response.provenance) for response in responses]
    return responses, _common(found, request_id)


def _sent(
    caller: Caller,
    method: grpc.UnaryUnaryMultiCallable[Request, Response],
    message: Request,
    timeout: float | None,
    name: str,
    first: int,
) -> Response:
    """The response to one message. Images are named by their row in all."""
    try:
        return caller.unary(method, message, timeout, name)
    except StriateError as error:
        raise moved(error, first) from error.__cause__


def _common(found: list[Provenance], request_id: str) -> Provenance:
    """What all responses say of where they came from."""
    if len({one.model_digest for one in found}) > 1:
        raise FailedPrecondition(
            "the model was loaded anew while the request was sent in parts: ask again",
            request_id=request_id,
        )
    return found[0] if len(found) == 1 else replace(found[0], request_id=request_id)


def check_count(found: int, sent: int) -> None:
    """Checks that the server has answered every row.

    Args:
        found: Rows of the responses.
        sent: Rows of the request.

    Raises:
        Internal: They are not as many.
    """
    if found != sent:
        raise Internal(f"the server sent {found} results for {sent} rows")
