"""Rows of the operations' database, read with suspicion: a disk may have changed them."""

import json
import math
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any as Value

from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from service.auth import rights
from service.auth.identity import EVERYONE, Identity
from service.auth.ownership import Ownership, sees_everything, words_for

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
    "owner",
    "rights",
    "shared",
)
SELECT = f"SELECT {', '.join(COLUMNS)}, CAST(name AS BLOB) FROM operations"
# What a caller may see: all, their own, or what is shared with them. Of damaged rows, too.
READABLE = (
    "(:all OR (owner = :me AND :me != '') OR EXISTS (SELECT 1 FROM json_each(:words) WHERE "
    "instr(shared, char(10) || value || char(10))))"
)
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
    identity: Identity = EVERYONE  # who started it
    shared: tuple[str, ...] = ()

    @property
    def ownership(self) -> Ownership:
        """Whose it is."""
        return Ownership(self.identity.name, self.shared)


class BadRow(ValueError):
    """A row cannot be used; `key` is its name as bytes."""

    def __init__(self, key: bytes, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def forgiving(database: sqlite3.Connection) -> None:
    """Have a connection hand out texts that are no UTF-8, instead of failing at all rows."""
    database.text_factory = lambda data: data.decode(errors="replace")


def reader(caller: Identity) -> dict[str, Value]:
    """Make the values of `READABLE`.

    Args:
        caller: who asks.
    """
    words = json.dumps(words_for(caller))
    return {"all": sees_everything(caller), "me": caller.name, "words": words}


def shared_text(shared: Sequence[str]) -> str:
    """Write down with whom an operation is shared.

    Args:
        shared: names and roles, without line feeds.
    """
    return "\n".join(("", *shared, "")) if shared else ""


def record(row: tuple[Value, ...]) -> Record:
    """Read a row.

    Args:
        row: of `SELECT`.

    Returns:
        The row's values.

    Raises:
        BadRow: one of them cannot be.
    """
    name, kind, request, operation, state, cancelling, crashes, *others = row
    created, updated, owner, written, shared, key = others
    try:
        _require(isinstance(name, str) and bool(_NAME.fullmatch(name)), "its name is none")
        _require(isinstance(kind, str) and kind != "", "its kind is none")
        _require(state in STATES, f"its state is {state!r}")
        _require(isinstance(cancelling, int) and isinstance(crashes, int), "a number is none")
        _require(_is_time(created) and _is_time(updated), f"a time is {created!r} or {updated!r}")
        _require(isinstance(request, bytes) and isinstance(operation, bytes), "a message is none")
        texts = (owner, written, shared)
        _require(all(isinstance(text, str) for text in texts), "it does not say whose it is")
        identity = rights.read(owner, written)
        asked, found = Any.FromString(request), Operation.FromString(operation)
        _require(found.name == name, f"its message is of {found.name!r}")
        _require(found.done == (state == "done"), "its message and its state differ")
    except (DecodeError, ValueError) as error:
        raise BadRow(key, str(error)) from error
    return Record(
        name,
        kind,
        asked,
        found,
        state,
        bool(cancelling),
        crashes,
        identity,
        tuple(shared.split("\n")[1:-1]),
    )


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value < _LATEST


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
