"""A request too large for one message, sent in parts as if it were one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import grpc

from striate._rpc.caller import Caller, new_request_id
from striate.errors import FailedPrecondition, Internal
from striate.provenance import Provenance
from striate.v1 import types_pb2

Request = TypeVar("Request")


class Answer(Protocol):
    """A response that says where it came from."""

    @property
    def provenance(self) -> types_pb2.Provenance: ...


Response = TypeVar("Response", bound=Answer)


def send(
    caller: Caller,
    method: grpc.UnaryUnaryMultiCallable[Request, Response],
    spans: Sequence[range],
    request: Callable[[range], Request],
    timeout: float | None,
) -> tuple[list[Response], Provenance]:
    """Sends the request for each span of rows, one after another under one deadline and one request
    id, which gets ".0", ".1", ... behind it if the spans are several.

    Returns the responses in order and what they have in common. Raises FailedPrecondition if the
    model changed in between.
    """
    deadline, identity = caller.deadline(timeout), new_request_id()
    names = (
        [identity] if len(spans) == 1 else [f"{identity}.{number}" for number in range(len(spans))]
    )
    parts = [
        caller.unary(method, request(rows), deadline.remaining(), name)
        for rows, name in zip(spans, names, strict=True)
    ]
    return parts, _joined([Provenance.read(part.provenance) for part in parts], identity)


def _joined(parts: list[Provenance], identity: str) -> Provenance:
    if len({part.model_digest for part in parts}) > 1:
        raise FailedPrecondition(
            "the model was loaded anew while the request was sent in parts: ask again",
            request_id=identity,
        )
    return parts[0] if len(parts) == 1 else replace(parts[0], request_id=identity)


def check_count(found: int, sent: int) -> None:
    """Raises Internal if the server did not answer every row."""
    if found != sent:
        raise Internal(f"the server sent {found} results for {sent} rows")
