"""One table from what goes wrong to what the caller is told: status code, reason, and details that
programs can read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc_status import rpc_status

from interp.attribution.result import MethodNotApplicable
from interp.layer import UnknownLayer
from interp.network.backward import BackwardFailed
from service import operations
from service.audit.journal import AuditChanged, NoReport
from service.auth.errors import PermissionDenied, ProviderUnreachable, Unauthenticated
from service.auth.quota import QuotaExceeded, RateExceeded
from service.datasets import DatasetError, UnknownDataset
from service.datasets.registry import NotAnUpload
from service.datasets.uploads import DatasetBusy, UploadTooLarge
from service.engine import job as jobs
from service.imaging import BadImage
from service.imaging.decoding import PoolBusy
from service.index.store import IndexMissing
from service.models.bundles.export import NotExportable
from service.models.zoo import ModelBusy, ModelError, NoRoom, UnknownModel, UnknownWeights
from service.rpc.doors.admission import TooManyCalls
from service.rpc.doors.wire_format import Undecodable
from service.rpc.validation import InvalidField
from service.rpc.wire.not_finite import ImageNotFinite
from service.state import DataLost, StorageFull, StorageReadOnly, storage_error
from service.visualization.errors import UnfitObjective
from striate.v1 import errors_pb2

DOMAIN = "striate"
# Bytes of a message, of which HTTP/2 makes up to three each: details of more than about 8 KB would
# turn into RESOURCE_EXHAUSTED.
MOST_TEXT = 1000
PUSHBACK = "grpc-retry-pushback-ms"  # the trailer that gRPC's automatic retries heed
PREFIX = "ERROR_REASON_"  # of the names of `ErrorReason`, which ErrorInfo's reasons do without


class Retry(Enum):
    """Whether the same request may be sent again. What is to be sent again later is an error with
    `retry_after`, the seconds until then.
    """

    UNSAID = "nothing is told"
    SOON = "RetryInfo, and gRPC's automatic retries wait as long"
    LATER = "RetryInfo for the caller; gRPC's automatic retries are told not to try"
    NEVER = "gRPC's automatic retries are told not to try: it would not help"


@dataclass(frozen=True)
class Row:
    """What one kind of error becomes.

    Attributes:
        code: gRPC's status code.
        reason: a value of the contract's `ErrorReason`.
        field: the request's field that BadRequest names, where the error has no `field` itself.
        retry: whether the same request may be sent again.
    """

    code: grpc.StatusCode
    reason: errors_pb2.ErrorReason.ValueType
    field: str = ""
    retry: Retry = Retry.UNSAID

    @property
    def reason_name(self) -> str:
        """The reason as ErrorInfo has it, e.g. "MODEL_NOT_FOUND"."""
        return errors_pb2.ErrorReason.Name(self.reason).removeprefix(PREFIX)


# The first row that fits counts; before all of them an error of a disk that takes nothing, which
# any other may come from.
TABLE: Mapping[type[BaseException], Row] = {
    UnknownModel: Row(StatusCode.NOT_FOUND, errors_pb2.ERROR_REASON_MODEL_NOT_FOUND),
    UnknownLayer: Row(StatusCode.NOT_FOUND, errors_pb2.ERROR_REASON_LAYER_NOT_FOUND),
    UnknownDataset: Row(StatusCode.NOT_FOUND, errors_pb2.ERROR_REASON_DATASET_NOT_FOUND),
    operations.UnknownOperation: Row(
        StatusCode.NOT_FOUND, errors_pb2.ERROR_REASON_OPERATION_NOT_FOUND
    ),
    InvalidField: Row(StatusCode.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FIELD),
    Undecodable: Row(StatusCode.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FIELD),
    UnfitObjective: Row(
        StatusCode.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FIELD, field="composed"
    ),
    BadImage: Row(StatusCode.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_BAD_IMAGE, field="images"),
    operations.OperationDamaged: Row(StatusCode.DATA_LOSS, errors_pb2.ERROR_REASON_DATA_LOSS),
    operations.InvalidListing: Row(
        StatusCode.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FIELD
    ),
    AuditChanged: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_AUDIT_CHANGED),
    NoReport: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_NO_REPORT),
    UploadTooLarge: Row(
        StatusCode.RESOURCE_EXHAUSTED,
        errors_pb2.ERROR_REASON_UPLOAD_TOO_LARGE,
        retry=Retry.NEVER,
    ),
    MethodNotApplicable: Row(
        StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_NOT_EXPLAINABLE
    ),
    IndexMissing: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_INDEX_NOT_FOUND),
    DatasetBusy: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_DATASET_BUSY),
    NotAnUpload: Row(
        StatusCode.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FIELD, field="dataset"
    ),
    DatasetError: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_DATASET_UNREADABLE),
    operations.OperationRunning: Row(
        StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_OPERATION_RUNNING
    ),
    operations.TooManyOperations: Row(
        StatusCode.RESOURCE_EXHAUSTED,
        errors_pb2.ERROR_REASON_TOO_MANY_OPERATIONS,
        retry=Retry.LATER,
    ),
    TooManyCalls: Row(
        StatusCode.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_TOO_MANY_CALLS, retry=Retry.SOON
    ),
    RateExceeded: Row(
        StatusCode.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, retry=Retry.SOON
    ),
    QuotaExceeded: Row(
        StatusCode.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, retry=Retry.LATER
    ),
    operations.ShuttingDown: Row(StatusCode.UNAVAILABLE, errors_pb2.ERROR_REASON_SHUTTING_DOWN),
    UnknownWeights: Row(StatusCode.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FIELD),
    ModelBusy: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_MODEL_BUSY),
    NotExportable: Row(
        StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_MODEL_NOT_EXPORTABLE
    ),
    NoRoom: Row(
        StatusCode.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_OUT_OF_MEMORY, retry=Retry.NEVER
    ),
    ModelError: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_MODEL_NOT_LOADABLE),
    PoolBusy: Row(
        StatusCode.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_QUEUE_FULL, retry=Retry.SOON
    ),
    jobs.QueueFull: Row(
        StatusCode.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_QUEUE_FULL, retry=Retry.SOON
    ),
    jobs.OutOfMemory: Row(
        StatusCode.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_OUT_OF_MEMORY, retry=Retry.NEVER
    ),
    jobs.Draining: Row(StatusCode.UNAVAILABLE, errors_pb2.ERROR_REASON_SHUTTING_DOWN),
    jobs.Expired: Row(StatusCode.DEADLINE_EXCEEDED, errors_pb2.ERROR_REASON_DEADLINE_EXCEEDED),
    BackwardFailed: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_NOT_DIFFERENTIABLE),
    jobs.NotFinite: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_NOT_FINITE),
    StorageFull: Row(
        StatusCode.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_STORAGE_FULL, retry=Retry.LATER
    ),
    StorageReadOnly: Row(StatusCode.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_STORAGE_READ_ONLY),
    DataLost: Row(StatusCode.DATA_LOSS, errors_pb2.ERROR_REASON_DATA_LOSS),
    Unauthenticated: Row(StatusCode.UNAUTHENTICATED, errors_pb2.ERROR_REASON_UNAUTHENTICATED),
    PermissionDenied: Row(StatusCode.PERMISSION_DENIED, errors_pb2.ERROR_REASON_PERMISSION_DENIED),
    ProviderUnreachable: Row(
        StatusCode.UNAVAILABLE, errors_pb2.ERROR_REASON_PROVIDER_UNREACHABLE, retry=Retry.SOON
    ),
}
INTERNAL_ROW = Row(StatusCode.INTERNAL, errors_pb2.ERROR_REASON_INTERNAL)  # what nobody foresaw


def row_of(error: BaseException) -> Row:
    """Find what an error becomes.

    Args:
        error: that a handler raised.

    Returns:
        The first row of the table that fits, or `INTERNAL_ROW`.
    """
    error = storage_error(error) or error
    return next((row for kind, row in TABLE.items() if isinstance(error, kind)), INTERNAL_ROW)


def status_of(error: BaseException, request_id: str) -> status_pb2.Status:
    """Write an error as google.rpc.Status.

    Args:
        error: any exception; the text of one that nobody foresaw is not shown.
        request_id: the call's, under which the server's log has more.

    Returns:
        A status with ErrorInfo, with BadRequest where a field is at fault, and with RetryInfo where
        the caller is to come back.
    """
    error = storage_error(error) or error
    row = row_of(error)
    message = str(error)
    if row is INTERNAL_ROW:
        message = f"internal error; the server's log has it under request {request_id}"
    metadata = {"request_id": request_id}
    nearest: Sequence[str] = getattr(error, "nearest", ())
    if nearest:
        metadata["nearest"] = ", ".join(nearest)
    facts: Mapping[str, str] = getattr(error, "facts", {})
    metadata |= facts
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=row.reason_name, domain=DOMAIN, metadata=metadata)
    ]
    if row.code is StatusCode.INVALID_ARGUMENT or isinstance(error, ImageNotFinite):
        details.append(_bad_request(error, row))
    if row.retry in (Retry.SOON, Retry.LATER):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(_milliseconds(error))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=row.code.value[0], message=_short(message), details=[_packed(d) for d in details]
    )


def _bad_request(error: BaseException, row: Row) -> error_details_pb2.BadRequest:
    """The field that is at fault, and what it may be."""
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=getattr(error, "field", row.field),
        description=_short(getattr(error, "description", str(error))),
    )
    return error_details_pb2.BadRequest(field_violations=[violation])


Metadata = tuple[tuple[str, str], ...]


async def abort(
    context: "grpc.aio.ServicerContext[Any, Any]",
    error: BaseException,
    request_id: str,
    trailer: Metadata,
) -> None:
    """End a call with an error's status, and tell gRPC's automatic retries whether to come back,
    and when.

    Args:
        trailer: metadata that every answer ends with.
    """
    status = rpc_status.to_status(status_of(error, request_id))
    pushback: Metadata = ()
    retry = row_of(error).retry
    if retry is Retry.SOON:
        pushback = ((PUSHBACK, str(_milliseconds(error))),)
    elif retry is not Retry.UNSAID:
        pushback = ((PUSHBACK, "-1"),)
    # Details and pushback have to leave together: `abort_with_status` would drop the one for the
    # other.
    await context.abort(
        status.code,
        status.details,
        trailing_metadata=(*status.trailing_metadata, *pushback, *trailer),
    )


def _milliseconds(error: BaseException) -> int:
    """The time after which the request of an error may be sent again."""
    seconds: float = getattr(error, "retry_after")  # noqa: B009 - a test holds all kinds to have it
    return int(seconds * 1000)


def _short(text: str) -> str:
    """The text, cut where it has more bytes than may be sent."""
    data = text.encode()
    return text if len(data) <= MOST_TEXT else data[: MOST_TEXT - 3].decode(errors="ignore") + "…"


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
