"""Long-running operations that survive the server: `google.longrunning` over SQLite."""

from service.operations.context import OperationContext
from service.operations.errors import (
    InvalidListing,
    OperationRunning,
    OperationsError,
    ShuttingDown,
    TooManyOperations,
    UnknownOperation,
)
from service.operations.runner import Operations, Runner
from service.operations.servicer import OperationsService
from service.operations.store import OperationStore

__all__ = [
    "InvalidListing",
    "OperationContext",
    "OperationRunning",
    "OperationStore",
    "Operations",
    "OperationsError",
    "OperationsService",
    "Runner",
    "ShuttingDown",
    "TooManyOperations",
    "UnknownOperation",
]
