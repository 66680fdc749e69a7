"""Rows of the operations' database, read with suspicion: a disk may have changed them."""

import math
import re
import sqlite3
from dataclasses import dataclass
from typing import Any as Value

from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

STATES = ("running", "interrupted", "done")
COLUMNS = (
    "name",
    "kind",
    "request",
    "operation",
    "state",
    "cancelling",
    "crashes",
    "created",
    "updated",
)
SELECT = f"SELECT {', '.join(COLUMNS)}, CAST(name AS BLOB) FROM operations"
_NAME = re.compile(r"operations/[0-9a-f]{1,64}")
_LATEST = 1e11  # seconds since 1970, in the year 5138


@dataclass(frozen=True)
class Record:
    """One row."""

    name: str
    kind: str
    request: Any
    operation: Operation
    state: str
    cancelling: bool
    crashes: int


class BadRow(ValueError):
    """A row cannot be used; `key` is its name as bytes."""

    def __init__(self, key: bytes, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def forgiving(database: sqlite3.Connection) -> None:
    """Have a connection hand out texts that are no UTF-8, instead of failing at all rows."""
    database.text_factory = lambda data: data.decode(errors="replace")


def record(row: tuple[Value, ...]) -> Record:
    """Read a row.

    Args:
        row: of `SELECT`.

    Returns:
        The row's values.

    Raises:
        BadRow: one of them cannot be.
    """
    name, kind, request, operation, state, cancelling, crashes, created, updated, key = row
    try:
        _require(isinstance(name, str) and bool(_NAME.fullmatch(name)), "its name is none")
        _require(isinstance(kind, str) and kind != "", "its kind is none")
        _require(state in STATES, f"its state is {state!r}")
        _require(isinstance(cancelling, int) and isinstance(crashes, int), "a number is none")
        _require(_is_time(created) and _is_time(updated), f"a time is {created!r} or {updated!r}")
        _require(isinstance(request, bytes) and isinstance(operation, bytes), "a message is none")
        asked, found = Any.FromString(request), Operation.FromString(operation)
        _require(found.name == name, f"its message is of {found.name!r}")
        _require(found.done == (state == "done"), "its message and its state differ")
    except (DecodeError, ValueError) as error:
        raise BadRow(key, str(error)) from error
    return Record(name, kind, asked, found, state, bool(cancelling), crashes)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value < _LATEST


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
