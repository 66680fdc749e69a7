"""Why a request about operations is refused."""


class OperationsError(Exception):
    """A request about operations is refused."""


class UnknownOperation(OperationsError):
    """There is no operation of that name."""


class OperationDamaged(OperationsError):
    """What the server kept of an operation cannot be read any more."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"what was kept of {name!r} is damaged ({reason}) and has been set aside: start the "
            f"operation again"
        )


class OperationRunning(OperationsError):
    """The operation has not ended yet."""


class TooManyOperations(OperationsError):
    """No more operations are taken on until some have ended; `retry_after` is in seconds: they take
    minutes, and one may end at any time.
    """

    retry_after = 10.0


class ShuttingDown(OperationsError):
    """The server takes on nothing new."""


class InvalidListing(OperationsError):
    """`field` of a request to list operations cannot be understood."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
