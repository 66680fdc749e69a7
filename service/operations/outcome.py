"""How an operation ends: its response, or one of these errors."""

from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.message import Message
from google.rpc.code_pb2 import ABORTED, CANCELLED, INTERNAL  # type: ignore[import-untyped, unused-ignore]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped, unused-ignore]

from service.operations.context import OperationContext

KINDS = ("succeeded", "cancelled", "failed")


def kind(end: Message) -> str:
    """Tell in a word how an operation ends.

    Args:
        end: a Status is its error, any other message its response.

    Returns:
        One of `KINDS`.
    """
    if not isinstance(end, Status):
        return "succeeded"
    return "cancelled" if end.code == CANCELLED else "failed"


def internal_error(error: BaseException) -> Status:
    """Make a status INTERNAL of any error.

    Args:
        error: any error.

    Returns:
        The status, with the error's class and text.
    """
    return Status(code=INTERNAL, message=f"{type(error).__name__}: {error}")


def cancelled() -> Status:
    """Return the error of an operation that somebody cancelled."""
    return Status(code=CANCELLED, message="cancelled")


def aborted(message: str) -> Status:
    """Make the error of an operation that the server has given up.

    Args:
        message: why, for readers.

    Returns:
        The status ABORTED.
    """
    return Status(code=ABORTED, message=message)


def not_resumed(status: Status) -> Status:
    """Return the error of an operation that failed before it made progress after a restart.

    Args:
        status: what it failed with.

    Returns:
        ABORTED, with the same details.
    """
    message = f"the operation could not be taken up after a restart of the server: {status.message}"
    return Status(code=ABORTED, message=message, details=status.details)


def finish(operation: Operation, outcome: Message, context: OperationContext | None) -> None:
    """Mark an operation as done.

    Args:
        operation: changed in place.
        outcome: a Status is its error, any other message its response.
        context: of its run, whose metadata it keeps; None: it did not run.
    """
    operation.done = True
    if context is not None:
        operation.metadata.CopyFrom(context.metadata)
    if isinstance(outcome, Status):
        operation.error.CopyFrom(outcome)
    else:
        operation.response.Pack(outcome)
