"""A SQLite file that neither a bad row nor a bad page keeps from being served: a row that cannot be
read is set aside into the table `set_aside`, and a damaged file is replaced by one with all rows
that could still be read.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any as Value
from typing import TypeVar

from service.operations.rows import COLUMNS, BadRow, Record, forgiving, record
from service.operations.salvage import damaged, salvage
from service.operations.schema import migrate
from service.state import Quarantine

T = TypeVar("T")

_LOG_BYTES = 16 * 2**20  # of SQLite's write-ahead log, which is cut to that after a large write
_FREED_PAGES = 4096  # given back to the disk after a deletion, at most


class Database:
    """The file of the operations. It may be used from any thread.

    Args:
        path: of the file, which is made if it is not there.
        quarantine: where a damaged file goes.

    Raises:
        ValueError: it was written by a later version.
        sqlite3.Error: the disk does not take it.
    """

    def __init__(self, path: Path, quarantine: Quarantine) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._quarantine = path, quarantine
        self._lock = threading.Lock()
        self._bad: dict[bytes, str] = {}  # rows to set aside, and why
        try:
            self._connection = _opened(path)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            salvage(path, quarantine, str(error))
            self._connection = _opened(path)

    def close(self) -> None:
        """Close the file; no call may follow."""
        with self._lock:
            self._connection.close()

    def run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Make one transaction; where the file turns out to be damaged, once more on what could be
        saved of it.

        Args:
            call: is given the connection, inside the transaction.

        Returns:
            What the call returns.
        """
        try:
            found = self._transaction(call)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            with self._lock:
                self._connection.close()
                salvage(self._path, self._quarantine, str(error))
                self._connection = _opened(self._path)
            found = self._transaction(call)
        finally:
            self.set_bad_aside()
        return found

    def rows(
        self, statement: str, values: Sequence[Value] | Mapping[str, Value] = ()
    ) -> list[tuple[Value, ...]]:
        """Run a query in a transaction of its own.

        Args:
            statement: of SQL.
            values: of its places.

        Returns:
            All rows.
        """
        return self.run(lambda database: database.execute(statement, values).fetchall())

    def _transaction(self, call: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:  # commits, or rolls back on an error
                return call(self._connection)

    def records(self, rows: Sequence[tuple[Value, ...]]) -> list[Record]:
        """Read rows.

        Args:
            rows: of `rows.SELECT`.

        Returns:
            Those that can be read; the others will be set aside.
        """
        found = list[Record]()
        for row in rows:
            with contextlib.suppress(BadRow):
                found.append(self.read(row))
        return found

    def read(self, row: tuple[Value, ...]) -> Record:
        """Read a row.

        Args:
            row: of `rows.SELECT`.

        Raises:
            BadRow: it cannot be read, and will be set aside.
        """
        try:
            return record(row)
        except BadRow as bad:
            self._bad[bad.key] = str(bad)
            raise

    def set_bad_aside(self) -> None:
        """Move the rows that could not be read; a disk that does not take it leaves them."""
        bad, self._bad = self._bad, {}
        columns = ", ".join((*COLUMNS, "ended"))
        for key, reason in bad.items():

            def move(database: sqlite3.Connection, key: bytes = key, reason: str = reason) -> None:
                where = "FROM operations WHERE CAST(name AS BLOB) = ?"
                database.execute(
                    f"INSERT INTO set_aside ({columns}, reason, at) SELECT {columns}, ?, ? {where}",
                    (reason, time.time(), key),
                )
                database.execute(f"DELETE {where}", (key,))

            with contextlib.suppress(sqlite3.Error):
                self._transaction(move)
                self._quarantine.report(
                    "operation", key.decode(errors="replace"), reason, "table set_aside"
                )

    def give_back(self) -> None:
        """Return what deletions freed to the disk, a bounded amount at a time."""
        with contextlib.suppress(sqlite3.Error), self._lock:
            # As a script: `execute` would take the first of its steps alone, a page.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES})")


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to a database of today's version. Raises sqlite3.Error, ValueError."""
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        forgiving(connection)
        if connection.execute("PRAGMA auto_vacuum").fetchone() != (2,):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            with contextlib.suppress(sqlite3.OperationalError):  # no room: it works without
                connection.execute("VACUUM")  # from here on deletions give room back to the disk
        connection.execute("PRAGMA journal_mode = WAL")
        # What was acknowledged survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            broken = sqlite3.DatabaseError(found)
            broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise broken
        migrate(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection
