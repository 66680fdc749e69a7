"""Operations as rows of a SQLite database. Each call is one short transaction; it may be made from
any thread.
"""

import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.any_pb2 import Any

from service.operations.errors import UnknownOperation

_VERSION = 1
_SCHEMA = """
CREATE TABLE operations (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    request BLOB NOT NULL,       -- google.protobuf.Any
    operation BLOB NOT NULL,     -- google.longrunning.Operation
    state TEXT NOT NULL,         -- running, interrupted (the server went down in order), done
    cancelling INTEGER NOT NULL, -- somebody asked for an end
    crashes INTEGER NOT NULL,  -- deaths of the server since its last lasting progress
    created REAL NOT NULL,       -- seconds since 1970
    updated REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX unfinished ON operations (state) WHERE state != 'done';
"""
_COLUMNS = "name, kind, request, operation, state, cancelling, crashes"


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


class OperationStore:
    """The database of operations."""

    def __init__(self, path: Path) -> None:
        """Open the database, or make it if it is not there.

        Args:
            path: of its file.

        Raises:
            ValueError: it was written by a later version.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # What was acknowledged survives a power cut.
        self._connection.execute("PRAGMA synchronous = FULL")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        elif version != _VERSION:
            self._connection.close()
            raise ValueError(
                f"{str(path)!r} has version {version} of the operations' database; this "
                f"server reads {_VERSION}"
            )

    def close(self) -> None:
        """Close the database; no call may follow."""
        with self._lock:
            self._connection.close()

    def insert(self, kind: str, request: Any, metadata: Any) -> Record:
        """Add a new running operation.

        Args:
            kind: of the operation.
            request: what its runner is given.
            metadata: what it reports so far.

        Returns:
            The operation, whose name is greater than those of all earlier ones.
        """
        name = f"operations/{time.time_ns():016x}{secrets.token_hex(4)}"
        operation = Operation(name=name, metadata=metadata)
        now = time.time()
        with self._transaction() as database:
            values = (
                name,
                kind,
                request.SerializeToString(),
                operation.SerializeToString(),
                "running",
                0,
                0,
                now,
                now,
            )
            database.execute("INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        return Record(name, kind, request, operation, "running", False, 0)

    def get(self, name: str) -> Record:
        """Return one operation.

        Args:
            name: of the operation.

        Returns:
            Its record.

        Raises:
            UnknownOperation: there is none of that name.
        """
        with self._transaction() as database:
            return self._get(database, name)

    def change(self, name: str, change: Callable[[Operation], None], forgive: bool = False) -> None:
        """Change an operation unless it is done.

        Args:
            name: of the operation.
            change: changes it in place; it ends where this sets `done`.
            forgive: forget how often the server died while it ran.

        Raises:
            UnknownOperation: there is none of that name.
        """
        with self._transaction() as database:
            record = self._get(database, name)
            if record.state == "done":
                return
            change(record.operation)
            state = "done" if record.operation.done else record.state
            crashes = 0 if forgive else record.crashes
            values = (record.operation.SerializeToString(), state, crashes, time.time(), name)
            database.execute(
                "UPDATE operations SET operation = ?, state = ?, crashes = ?, updated = ? "
                "WHERE name = ?",
                values,
            )

    def cancel(self, name: str) -> Record:
        """Note that somebody wants an operation to end; one that is done stays as it is.

        Args:
            name: of the operation.

        Returns:
            Its record after that.

        Raises:
            UnknownOperation: there is none of that name.
        """
        with self._transaction() as database:
            database.execute(
                "UPDATE operations SET cancelling = 1, updated = ? WHERE name = ? AND "
                "state != 'done'",
                (time.time(), name),
            )
            return self._get(database, name)

    def interrupt(self, name: str) -> None:
        """Note that the server goes down in order while an operation runs.

        Args:
            name: of the operation; nothing happens to one that is not running.
        """
        with self._transaction() as database:
            database.execute(
                "UPDATE operations SET state = 'interrupted', updated = ? WHERE name = ? "
                "AND state = 'running'",
                (time.time(), name),
            )

    def resume(self, name: str) -> None:
        """Note that an operation runs again: after a crash if it was running, else after an
        interruption.

        Args:
            name: of the operation.
        """
        with self._transaction() as database:
            statement = (
                "UPDATE operations SET crashes = crashes + (state = 'running'), state = "
                "'running', updated = ? WHERE name = ?"
            )
            database.execute(statement, (time.time(), name))

    def delete(self, name: str) -> bool:
        """Forget an operation if it is done.

        Args:
            name: of the operation.

        Returns:
            Whether it was done.

        Raises:
            UnknownOperation: there is none of that name.
        """
        with self._transaction() as database:
            done = self._get(database, name).state == "done"
            if done:
                database.execute("DELETE FROM operations WHERE name = ?", (name,))
            return done

    def unfinished(self) -> list[Record]:
        """Return all operations that are not done, oldest first."""
        with self._transaction() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM operations WHERE state != 'done' ORDER BY name"
            ).fetchall()
        return [_record(row) for row in rows]

    def page(
        self,
        count: int,
        before: str | None = None,
        kind: str | None = None,
        done: bool | None = None,
    ) -> list[Record]:
        """List operations, newest first.

        Args:
            count: how many at most.
            before: only those older than the one of this name.
            kind: only those of this kind.
            done: only those that are done, or only those that are not.

        Returns:
            The operations; an argument that is None excludes none.
        """
        with self._transaction() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM operations WHERE (:before IS NULL OR name < :before) "
                f"AND (:kind IS NULL OR kind = :kind)"
                " AND (:done IS NULL OR (state = 'done') = :done) ORDER BY name DESC LIMIT :count",
                {"count": count, "before": before, "kind": kind, "done": done},
            ).fetchall()
        return [_record(row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:  # commits, or rolls back on an error
                yield self._connection

    def _get(self, database: sqlite3.Connection, name: str) -> Record:
        row = database.execute(
            f"SELECT {_COLUMNS} FROM operations WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            raise UnknownOperation(f"there is no operation {name!r}")
        return _record(row)


def _record(row: tuple[str, str, bytes, bytes, str, int, int]) -> Record:
    name, kind, request, operation, state, cancelling, crashes = row
    return Record(
        name,
        kind,
        Any.FromString(request),
        Operation.FromString(operation),
        state,
        bool(cancelling),
        crashes,
    )
