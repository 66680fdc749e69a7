"""Why a request about operations is refused."""


class OperationsError(Exception):
    """A request about operations is refused; `reason` names why, for programs."""

    reason = "OPERATION_REFUSED"


class UnknownOperation(OperationsError):
    """There is no operation of that name."""

    reason = "OPERATION_UNKNOWN"


class OperationRunning(OperationsError):
    """The operation has not ended yet."""

    reason = "OPERATION_RUNNING"


class TooManyOperations(OperationsError):
    """No more operations are taken on until some have ended."""

    reason = "TOO_MANY_OPERATIONS"


class ShuttingDown(OperationsError):
    """The server takes on nothing new."""

    reason = "SHUTTING_DOWN"


class InvalidListing(OperationsError):
    """`field` of a request to list operations cannot be understood."""

    reason = "INVALID_LISTING"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
