"""What can go wrong, as exceptions."""

from __future__ import annotations

from collections.abc import Mapping

import grpc


class StriateError(Exception):
    """Base of every error of the service, and of arguments that the client refuses itself.

    Attributes:
        code: Status code of the call.
        reason: Name of the contract's ErrorReason without its prefix, e.g. "LAYER_NOT_FOUND"; ""
            for an error that has none.
        fields: Field of the request -> what is wrong with it.
        request_id: Name of the request in the server's log, "" if it was not sent.
        retry_after: Seconds to wait before asking again, None if the server does not say.
    """

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        fields: Mapping[str, str] | None = None,
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.reason = reason
        self.fields = dict(fields or {})
        self.request_id = request_id
        self.retry_after = retry_after


class InvalidArgument(StriateError, ValueError):
    """A field is out of its range; `fields` says which and why."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class BadImage(InvalidArgument):
    """An image is corrupt, too large, or of an unknown format."""


class Unauthenticated(StriateError, PermissionError):
    """Nothing that the server knows was shown, or it has expired: pass `token=`."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(StriateError, PermissionError):
    """The token or certificate is known, and its role may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(StriateError, LookupError):
    """Something was asked for by a name that the service does not know."""

    code = grpc.StatusCode.NOT_FOUND


class ModelNotFound(NotFound):
    """No loaded model has this name; the message has the nearest names."""


class LayerNotFound(NotFound):
    """The model has no such layer or unit; the message has the nearest names."""


class DatasetNotFound(NotFound):
    """The server reads no data set of this name."""


class OperationNotFound(NotFound):
    """No operation has this name."""


class FailedPrecondition(StriateError):
    """The request is fine, but not in the service's present state."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class IndexNotFound(FailedPrecondition, LookupError):
    """The exemplar index of this model, data set and layer has not been built."""


class ModelBusy(FailedPrecondition):
    """Jobs use the model: cancel them or wait."""


class ModelNotExportable(FailedPrecondition):
    """The model is built by code of the server's user, which a bundle cannot hold."""


class ModelNotLoadable(FailedPrecondition):
    """The server knows the model but cannot load it, e.g. because its weights are not at hand."""


class DatasetUnreadable(FailedPrecondition):
    """The server knows the data set but cannot read it."""


class OperationRunning(FailedPrecondition):
    """The operation has not ended yet: cancel it or wait."""


class AuditChanged(FailedPrecondition):
    """A network or data set is no longer what it was when the audit began: start a new audit."""


class NoReport(FailedPrecondition):
    """The operation has no report, not yet, or not in this format."""


class DatasetBusy(FailedPrecondition):
    """Operations use the data set: cancel them or wait."""


class StorageReadOnly(FailedPrecondition):
    """The server's files cannot be written."""


class DataLoss(StriateError):
    """What the server kept is damaged, and not served: make it again."""


class NotDifferentiable(FailedPrecondition):
    """The network's backward pass fails: only what takes no gradients can be asked for."""


class NotExplainable(FailedPrecondition):
    """The attribution method cannot treat a step of this network: choose another method."""


class NotFinite(FailedPrecondition):
    """Values became infinite or not-a-number."""


class ResourceExhausted(StriateError):
    """The service has too much to do or too little memory."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class QueueFull(ResourceExhausted):
    """The queue is full, also after the automatic retries; `retry_after` says when to try again."""


class TooManyOperations(ResourceExhausted):
    """As many operations run as the server allows; `retry_after` says when to try again."""


class TooManyCalls(ResourceExhausted):
    """As many calls are in flight as the server allows, also after the automatic retries;
    `retry_after` says when to try again.
    """


class QuotaExceeded(ResourceExhausted):
    """The caller has as much as they may have: the message names the cap and who can change it;
    `retry_after` says when to try again.
    """


class OutOfMemory(ResourceExhausted):
    """The device's memory does not hold even the smallest part of the request."""


class UploadTooLarge(ResourceExhausted):
    """The upload is larger than the server takes."""


class StorageFull(ResourceExhausted):
    """The disk of the server's files is full, or has less room than the server keeps free."""


class DeadlineExceeded(StriateError, TimeoutError):
    """The timeout passed; the service has stopped working on the request."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(StriateError):
    """The request or the operation was cancelled."""

    code = grpc.StatusCode.CANCELLED


class Aborted(StriateError):
    """The operation ended before its time, e.g. with the server that ran it."""

    code = grpc.StatusCode.ABORTED


class Unavailable(StriateError, ConnectionError):
    """The server cannot be reached."""

    code = grpc.StatusCode.UNAVAILABLE


class TLSFailed(Unavailable):
    """The server was reached, but not over TLS: a certificate was refused, or one side speaks plain
    text; the message has the way on.
    """


class ShuttingDown(Unavailable):
    """The server takes no new work because it is about to end."""


class ProviderUnreachable(Unavailable):
    """The keys of the identity provider that signed the token cannot be had at present."""


class Internal(StriateError):
    """The service failed; its log has the reason under `request_id`."""

    code = grpc.StatusCode.INTERNAL


class Unimplemented(StriateError):
    """The server does not know this call: it is of another version."""

    code = grpc.StatusCode.UNIMPLEMENTED


class StriateWarning(UserWarning):
    """Something about a result that may not be what it seems, e.g. outputs that are probabilities,
    or gradients of zero.
    """


def invalid(field: str, problem: str) -> InvalidArgument:
    """Makes the error for an argument that the client refuses before it is sent.

    Args:
        field: Name of the argument, e.g. "labels[3]".
        problem: What is wrong with it and what is allowed, e.g. "must be at least 1, is 0".

    Returns:
        The error, to be raised.
    """
    return InvalidArgument(f"{field}: {problem}", reason="INVALID_FIELD", fields={field: problem})
