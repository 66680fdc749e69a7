"""How urgent a request is."""

from __future__ import annotations

from typing import Literal

from striate._rpc.checks import choice
from striate.v1 import types_pb2

PriorityName = Literal["interactive", "batch"]

_PRIORITIES: dict[str | None, types_pb2.Priority.ValueType] = {
    None: types_pb2.PRIORITY_UNSPECIFIED,
    "interactive": types_pb2.PRIORITY_INTERACTIVE,
    "batch": types_pb2.PRIORITY_BATCH,
}


def priority_value(name: str | None) -> types_pb2.Priority.ValueType:
    """The contract's value of a priority.

    Args:
        name: "interactive", "batch", or None for the call's default.

    Returns:
        The value.

    Raises:
        InvalidArgument: There is no such priority.
    """
    return choice("priority", name, _PRIORITIES)
