"""The priority of a request."""

from service.engine.job import Priority
from service.rpc.validation import known
from striate.v1 import types_pb2


def priority(value: int) -> Priority:
    """Read the priority of a request: interactive by default.

    Args:
        value: number of the enumeration's value.

    Returns:
        The engine's priority: BATCH, or INTERACTIVE for every other value.

    Raises:
        InvalidField: the enumeration has no such value.
    """
    known("priority", value, types_pb2.Priority.DESCRIPTOR)
    return Priority.BATCH if value == types_pb2.PRIORITY_BATCH else Priority.INTERACTIVE
