"""Long-running operations that survive the server: `google.longrunning` over SQLite."""

from service.operations.context import OperationContext
from service.operations.errors import (
    InvalidListing,
    OperationDamaged,
    OperationRunning,
    OperationsError,
    ShuttingDown,
    TooManyOperations,
    UnknownOperation,
)
from service.operations.runner import Operations, Runner
from service.operations.servicer import OperationsService
from service.operations.store import OperationStore
from service.operations.upkeep import Upkeep

__all__ = [
    "InvalidListing",
    "OperationContext",
    "OperationDamaged",
    "OperationRunning",
    "OperationStore",
    "Operations",
    "OperationsError",
    "OperationsService",
    "Runner",
    "ShuttingDown",
    "TooManyOperations",
    "UnknownOperation",
    "Upkeep",
]
