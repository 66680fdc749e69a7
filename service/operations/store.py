"""Operations as rows of a SQLite database. Each call is one short transaction; it may be made from
any thread.
"""

import contextlib
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.any_pb2 import Any

from service.auth import rights
from service.auth.identity import EVERYONE, Identity
from service.operations.database import Database
from service.operations.errors import OperationDamaged, UnknownOperation
from service.operations.rows import (
    COLUMNS,
    READABLE,
    SELECT,
    BadRow,
    Record,
    reader,
    shared_text,
)
from service.state import Quarantine


class OperationStore:
    """The database of operations.

    Args:
        path: of its file, which is made if it is not there.
        quarantine: where a damaged file goes; None: the folder "quarantine" beside it.

    Raises:
        ValueError: it was written by a later version.
        sqlite3.Error: the disk does not take it.
    """

    def __init__(self, path: Path, quarantine: Quarantine | None = None) -> None:
        self._database = Database(path, quarantine or Quarantine(path.parent / "quarantine"))

    def close(self) -> None:
        """Close the database; no call may follow."""
        self._database.close()

    def insert(
        self,
        kind: str,
        request: Any,
        metadata: Any,
        owner: Identity = EVERYONE,
        shared: Sequence[str] = (),
    ) -> Record:
        """Add a new running operation.

        Args:
            kind: of the operation.
            request: what its runner is given.
            metadata: what it reports so far.
            owner: who starts it.
            shared: names and roles who may see it, too.

        Returns:
            The operation, whose name is greater than those of all earlier ones.
        """

        def insert(database: sqlite3.Connection) -> Operation:
            operation = Operation(name=_new_name(database), metadata=metadata)
            now = time.time()
            values = (
                operation.name,
                kind,
                request.SerializeToString(),
                operation.SerializeToString(),
                "running",
                0,
                0,
                now,
                now,
                owner.name,
                rights.written(owner),
                shared_text(shared),
            )
            places = ", ".join("?" * len(values))
            database.execute(
                f"INSERT INTO operations ({', '.join(COLUMNS)}) VALUES ({places})", values
            )
            return operation

        operation = self._database.run(insert)
        return Record(
            operation.name, kind, request, operation, "running", False, 0, owner, tuple(shared)
        )

    def get(self, name: str, caller: Identity = EVERYONE) -> Record:
        """Return one operation.

        Args:
            name: of the operation.
            caller: who asks for it.

        Returns:
            Its record.

        Raises:
            UnknownOperation: there is none of that name, or the caller may not see it.
            OperationDamaged: its row could not be read.
        """
        return self._database.run(lambda database: self._get(database, name, caller))

    def change(
        self,
        name: str,
        change: Callable[[Operation], None],
        forgive: bool = False,
        ended: float | None = None,
    ) -> None:
        """Change an operation unless it is done.

        Args:
            name: of the operation.
            change: changes it in place; it ends where this sets `done`.
            forgive: forget how often the server died while it ran.
            ended: seconds that servers have served, of one that ends: its age counts from there.

        Raises:
            UnknownOperation: there is none of that name.
            OperationDamaged: its row could not be read.
        """

        def update(database: sqlite3.Connection) -> None:
            found = self._get(database, name)
            if found.state == "done":
                return
            change(found.operation)
            state = "done" if found.operation.done else found.state
            crashes = 0 if forgive else found.crashes
            written = found.operation.SerializeToString()
            database.execute(
                "UPDATE operations SET operation = ?, state = ?, crashes = ?, updated = ?, "
                "ended = ? WHERE name = ?",
                (written, state, crashes, time.time(), ended, name),
            )

        self._database.run(update)

    def cancel(self, name: str) -> Record:
        """Note that somebody wants an operation to end; one that is done stays as it is.

        Args:
            name: of the operation.

        Returns:
            Its record after that.

        Raises:
            UnknownOperation: there is none of that name.
        """

        def cancel(database: sqlite3.Connection) -> Record:
            database.execute(
                "UPDATE operations SET cancelling = 1, updated = ? WHERE name = ? AND "
                "state != 'done'",
                (time.time(), name),
            )
            return self._get(database, name)

        return self._database.run(cancel)

    def interrupt(self, name: str) -> None:
        """Note that the server goes down in order while an operation runs.

        Args:
            name: of the operation; nothing happens to one that is not running.
        """
        statement = (
            "UPDATE operations SET state = 'interrupted', updated = ? WHERE name = ? "
            "AND state = 'running'"
        )
        self._database.run(lambda database: database.execute(statement, (time.time(), name)))

    def resume(self, name: str) -> None:
        """Note that an operation runs again: after a crash if it was running, else after an
        interruption.

        Args:
            name: of the operation.
        """
        statement = (
            "UPDATE operations SET crashes = crashes + (state = 'running'), state = "
            "'running', updated = ? WHERE name = ?"
        )
        self._database.run(lambda database: database.execute(statement, (time.time(), name)))

    def delete(self, name: str) -> bool:
        """Forget an operation if it is done.

        Args:
            name: of the operation.

        Returns:
            Whether it was done.

        Raises:
            UnknownOperation: there is none of that name.
        """

        def delete(database: sqlite3.Connection) -> bool:
            done = self._get(database, name).state == "done"
            if done:
                database.execute("DELETE FROM operations WHERE name = ?", (name,))
            return done

        done = self._database.run(delete)
        self._database.give_back()
        return done

    def unfinished(self) -> list[Record]:
        """Return all operations that are not done, oldest first."""
        rows = self._database.rows(f"{SELECT} WHERE state != 'done' ORDER BY name")
        found = self._database.records(rows)
        self._database.set_bad_aside()
        return found

    def page(
        self,
        count: int,
        before: str | None = None,
        kind: str | None = None,
        done: bool | None = None,
        ended: Collection[str] = (),
        caller: Identity = EVERYONE,
    ) -> list[Record]:
        """List operations, newest first.

        Args:
            count: how many at most.
            before: only those older than the one of this name.
            kind: only those of this kind.
            done: only those that are done, or only those that are not.
            ended: names of operations that are done, too, though their rows do not say so yet.
            caller: who asks; what they may not see is not there.

        Returns:
            The operations; an argument that is None excludes none.
        """
        values = {
            "count": count,
            "before": before,
            "kind": kind,
            "done": done,
            "ended": json.dumps(list(ended)),
            **reader(caller),
        }
        statement = (
            f"{SELECT} WHERE (:before IS NULL OR name < :before) AND (:kind IS NULL OR "
            "kind = :kind) AND (:done IS NULL OR (state = 'done' OR name IN (SELECT value FROM "
            f"json_each(:ended))) = :done) AND {READABLE} ORDER BY name DESC LIMIT :count"
        )
        found, last = list[Record](), None
        while len(found) < count:  # a page is full, whatever had to be set aside on the way
            rows = self._database.rows(statement, values)
            found += self._database.records(rows)[: count - len(found)]
            self._database.set_bad_aside()
            if len(rows) < count or rows[-1] == last:
                break
            last, values["before"] = rows[-1], rows[-1][0]
        return found

    def expired(self, before: float, kind: str, most: int) -> list[str]:
        """List the operations of a kind that ended before a time, oldest first.

        Args:
            before: seconds that servers had served.
            kind: of the operations.
            most: names at most.

        Returns:
            Their names.
        """
        statement = (
            "SELECT name FROM operations WHERE state = 'done' AND kind = ? AND "
            "coalesce(ended, 0) < ? ORDER BY name LIMIT ?"
        )
        rows = self._database.run(
            lambda database: database.execute(statement, (kind, before, most))
        )
        return [name for (name,) in rows]

    def surplus(self, kept: int, most: int) -> list[str]:
        """List the oldest operations that are done beyond a number.

        Args:
            kept: how many of those that are done stay.
            most: names at most.

        Returns:
            Their names.
        """
        statement = (
            "SELECT name FROM (SELECT name FROM operations WHERE state = 'done' ORDER BY name DESC "
            "LIMIT -1 OFFSET ?) ORDER BY name LIMIT ?"
        )
        rows = self._database.rows(statement, (kept, most))
        return [name for (name,) in rows]

    def kinds(self) -> list[str]:
        """List the kinds of the operations that there are."""
        rows = self._database.run(
            lambda database: database.execute("SELECT DISTINCT kind FROM operations")
        )
        return [kind for (kind,) in rows if isinstance(kind, str)]

    def _get(self, database: sqlite3.Connection, name: str, caller: Identity = EVERYONE) -> Record:
        values = {"name": name, **reader(caller)}
        where = f"WHERE name = :name AND {READABLE}"
        row = database.execute(f"{SELECT} {where}", values).fetchone()
        if row is not None:
            try:
                return self._database.read(row)
            except BadRow as bad:
                raise OperationDamaged(name, str(bad)) from bad
        aside = database.execute(f"SELECT reason FROM set_aside {where}", values).fetchone()
        if aside is not None:
            raise OperationDamaged(name, aside[0])
        raise UnknownOperation(f"there is no operation {name!r}")


def _new_name(database: sqlite3.Connection) -> str:
    """A name greater than all others, also where the clock has been put back."""
    (last,) = database.execute(
        "SELECT max(name) FROM operations WHERE name GLOB 'operations/[0-9a-f]*'"
    ).fetchone()
    number = time.time_ns()
    if last is not None:
        with contextlib.suppress(ValueError):
            number = max(number, int(last.removeprefix("operations/")[:16], 16) + 1)
    return f"operations/{number:016x}{secrets.token_hex(4)}"
