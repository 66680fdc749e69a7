"""Failed calls as exceptions: one table from the contract's reasons and codes to classes.

Every member of `ErrorReason` in protos/striate/v1/errors.proto has a class of its own.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped, unused-ignore]

from striate.errors.exceptions import (
    Aborted,
    AuditChanged,
    BadImage,
    Cancelled,
    DataLoss,
    DatasetBusy,
    DatasetNotFound,
    DatasetUnreadable,
    DeadlineExceeded,
    FailedPrecondition,
    IndexNotFound,
    Internal,
    InvalidArgument,
    LayerNotFound,
    ModelBusy,
    ModelNotExportable,
    ModelNotFound,
    ModelNotLoadable,
    NoReport,
    NotDifferentiable,
    NotExplainable,
    NotFinite,
    NotFound,
    OperationNotFound,
    OperationRunning,
    OutOfMemory,
    PermissionDenied,
    ProviderUnreachable,
    QueueFull,
    QuotaExceeded,
    ResourceExhausted,
    ShuttingDown,
    StorageFull,
    StorageReadOnly,
    StriateError,
    TooManyCalls,
    TooManyOperations,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    UploadTooLarge,
)

_DETAILS_KEY = "grpc-status-details-bin"

_BY_REASON: dict[str, type[StriateError]] = {  # names of ErrorReason without their prefix
    "INVALID_FIELD": InvalidArgument,
    "BAD_IMAGE": BadImage,
    "MODEL_NOT_FOUND": ModelNotFound,
    "LAYER_NOT_FOUND": LayerNotFound,
    "DATASET_NOT_FOUND": DatasetNotFound,
    "OPERATION_NOT_FOUND": OperationNotFound,
    "INDEX_NOT_FOUND": IndexNotFound,
    "MODEL_BUSY": ModelBusy,
    "MODEL_NOT_EXPORTABLE": ModelNotExportable,
    "MODEL_NOT_LOADABLE": ModelNotLoadable,
    "DATASET_UNREADABLE": DatasetUnreadable,
    "OPERATION_RUNNING": OperationRunning,
    "AUDIT_CHANGED": AuditChanged,
    "NO_REPORT": NoReport,
    "NOT_EXPLAINABLE": NotExplainable,
    "NOT_DIFFERENTIABLE": NotDifferentiable,
    "NOT_FINITE": NotFinite,
    "QUEUE_FULL": QueueFull,
    "OUT_OF_MEMORY": OutOfMemory,
    "TOO_MANY_OPERATIONS": TooManyOperations,
    "TOO_MANY_CALLS": TooManyCalls,
    "QUOTA_EXCEEDED": QuotaExceeded,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "PROVIDER_UNREACHABLE": ProviderUnreachable,
    "UPLOAD_TOO_LARGE": UploadTooLarge,
    "STORAGE_FULL": StorageFull,
    "STORAGE_READ_ONLY": StorageReadOnly,
    "DATASET_BUSY": DatasetBusy,
    "DATA_LOSS": DataLoss,
    "SHUTTING_DOWN": ShuttingDown,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "INTERNAL": Internal,
}

_BY_CODE: dict[grpc.StatusCode, type[StriateError]] = {
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
    grpc.StatusCode.DATA_LOSS: DataLoss,
    grpc.StatusCode.UNKNOWN: Internal,
    **{
        cls.code: cls
        for cls in (
            InvalidArgument,
            Unauthenticated,
            PermissionDenied,
            NotFound,
            FailedPrecondition,
            ResourceExhausted,
            DeadlineExceeded,
            Cancelled,
            Aborted,
            Unavailable,
            Internal,
            Unimplemented,
        )
    },
}

_CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc(error: grpc.RpcError, request_id: str) -> StriateError:
    """Makes the typed error for a failed call, with the details in its google.rpc.Status trailer.

    Args:
        error: The error of gRPC.
        request_id: Name of the request in the server's log.

    Returns:
        The error, to be raised.
    """
    call: Any = (
        error  # grpc's own failures are Calls as well, which their declared type does not say
    )
    code: grpc.StatusCode = call.code()
    trailer = next(
        (value for key, value in call.trailing_metadata() or () if key == _DETAILS_KEY), b""
    )
    try:
        status = status_pb2.Status.FromString(trailer)
    except DecodeError:  # a proxy may cut the trailer; code and message are still good
        status = status_pb2.Status()
    return _build(code, call.details() or code.name, status, request_id)


def from_status(status: Any, request_id: str = "") -> StriateError:
    """Makes the typed error for a google.rpc.Status, as a failed operation holds it.

    Args:
        status: The message.
        request_id: Name of the request in the server's log, "" if unknown.

    Returns:
        The error, to be raised.
    """
    code = _CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return _build(code, status.message or code.name, status, request_id)


def _build(code: grpc.StatusCode, message: str, status: Any, request_id: str) -> StriateError:
    info = _detail(status, error_details_pb2.ErrorInfo())
    request = _detail(status, error_details_pb2.BadRequest())
    retry = _detail(status, error_details_pb2.RetryInfo())
    reason = info.reason if info else ""
    cls = _BY_REASON.get(reason) or _BY_CODE.get(code, StriateError)
    return cls(
        message,
        code=code,
        reason=reason,
        fields={violation.field: violation.description for violation in request.field_violations}
        if request
        else {},
        request_id=request_id,
        retry_after=retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if retry else None,
    )


def _detail(status: Any, empty: Message) -> Any:
    """The first detail of the type of `empty`, or None."""
    return next((empty for detail in status.details if detail.Unpack(empty)), None)
