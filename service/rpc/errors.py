"""One table from what goes wrong to what the caller is told: status code, reason, and details that
programs can read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from interp.attribution import Unexplainable
from interp.layer import UnknownLayer
from service import operations
from service.audit.journal import AuditChanged, NoReport
from service.datasets import DatasetError, UnknownDataset
from service.datasets.uploads import UploadTooLarge
from service.engine import job as jobs
from service.imaging import BadImage
from service.index.store import IndexMissing
from service.models.zoo import ModelBusy, ModelError, UnknownModel, UnknownWeights

DOMAIN = "striate"
# Bytes of a message, of which HTTP/2 makes up to three each: details of more than about 8 KB would
# turn into RESOURCE_EXHAUSTED.
MOST_TEXT = 1000


class InvalidField(ValueError):
    """A request's field has a value that it may not have; `description` says what it may."""

    def __init__(self, field: str, description: str) -> None:
        self.field, self.description = field, description
        super().__init__(f"{field}: {description}")


@dataclass(frozen=True)
class Row:
    """What one kind of error becomes."""

    code: grpc.StatusCode
    reason: str


# The first row that fits counts.
_TABLE: dict[type[BaseException], Row] = {
    UnknownModel: Row(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
    UnknownLayer: Row(grpc.StatusCode.NOT_FOUND, "LAYER_NOT_FOUND"),
    UnknownDataset: Row(grpc.StatusCode.NOT_FOUND, "DATASET_NOT_FOUND"),
    operations.UnknownOperation: Row(grpc.StatusCode.NOT_FOUND, "OPERATION_NOT_FOUND"),
    InvalidField: Row(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    BadImage: Row(grpc.StatusCode.INVALID_ARGUMENT, "BAD_IMAGE"),
    operations.InvalidListing: Row(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    AuditChanged: Row(grpc.StatusCode.FAILED_PRECONDITION, "AUDIT_CHANGED"),
    NoReport: Row(grpc.StatusCode.FAILED_PRECONDITION, "NO_REPORT"),
    UploadTooLarge: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE"),
    Unexplainable: Row(grpc.StatusCode.FAILED_PRECONDITION, "NOT_EXPLAINABLE"),
    IndexMissing: Row(grpc.StatusCode.FAILED_PRECONDITION, "INDEX_NOT_FOUND"),
    DatasetError: Row(grpc.StatusCode.FAILED_PRECONDITION, "DATASET_UNREADABLE"),
    operations.OperationRunning: Row(grpc.StatusCode.FAILED_PRECONDITION, "OPERATION_RUNNING"),
    operations.TooManyOperations: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_OPERATIONS"),
    operations.ShuttingDown: Row(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
    UnknownWeights: Row(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    ModelBusy: Row(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_BUSY"),
    ModelError: Row(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_NOT_LOADABLE"),
    jobs.QueueFull: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
    jobs.OutOfMemory: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY"),
    jobs.Draining: Row(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
    jobs.Expired: Row(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    jobs.NotFinite: Row(grpc.StatusCode.FAILED_PRECONDITION, "NOT_FINITE"),
}
_INTERNAL = Row(grpc.StatusCode.INTERNAL, "INTERNAL")


def row_of(error: BaseException) -> Row:
    """The table's row for an error; INTERNAL for one that nobody foresaw."""
    return next((row for kind, row in _TABLE.items() if isinstance(error, kind)), _INTERNAL)


def status_of(error: BaseException, request_id: str) -> status_pb2.Status:
    """The error as google.rpc.Status: ErrorInfo always, BadRequest and RetryInfo where they
    apply.
    """
    row = row_of(error)
    foreseen = row is not _INTERNAL
    message = (
        str(error)
        if foreseen
        else f"internal error; the server's log has it under request {request_id}"
    )
    metadata = {"request_id": request_id}
    nearest: Sequence[str] = getattr(error, "nearest", ())
    if nearest:
        metadata["nearest"] = ", ".join(nearest)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=row.reason, domain=DOMAIN, metadata=metadata)
    ]
    if isinstance(error, InvalidField | BadImage | UnknownWeights | operations.InvalidListing):
        field = getattr(error, "field", "images")
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=field, description=_short(getattr(error, "description", str(error)))
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, jobs.QueueFull):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=row.code.value[0], message=_short(message), details=[_packed(d) for d in details]
    )


Metadata = tuple[tuple[str, str], ...]


async def abort(
    context: "grpc.aio.ServicerContext[Any, Any]",
    error: BaseException,
    request_id: str,
    trailer: Metadata,
) -> None:
    """End the call with the error's status; a full queue also tells gRPC's automatic retries when
    to come back.
    """
    status = rpc_status.to_status(status_of(error, request_id))
    pushback: Metadata = ()
    if isinstance(error, jobs.QueueFull):
        pushback = (("grpc-retry-pushback-ms", str(int(error.retry_after * 1000))),)
    elif isinstance(error, jobs.OutOfMemory):
        pushback = (("grpc-retry-pushback-ms", "-1"),)  # trying again would not help
    # Details and pushback have to leave together: `abort_with_status` would drop the one for the
    # other.
    await context.abort(
        status.code,
        status.details,
        trailing_metadata=(*status.trailing_metadata, *pushback, *trailer),
    )


def _short(text: str) -> str:
    data = text.encode()
    return text if len(data) <= MOST_TEXT else data[: MOST_TEXT - 3].decode(errors="ignore") + "…"


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
