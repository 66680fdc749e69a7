"""A damaged database of operations: what can still be read of it goes into a new one."""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from service.operations.rows import forgiving
from service.operations.schema import migrate
from service.state import Quarantine

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BESIDE = ("-wal", "-shm")  # SQLite's own files beside a database


def damaged(error: BaseException) -> bool:
    """Whether an error says that a database's file is damaged."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    return isinstance(error, sqlite3.DatabaseError) and code & 0xFF in _DAMAGED


def salvage(path: Path, quarantine: Quarantine, reason: str) -> int:
    """Put a new database in the place of a damaged one, with every row that can still be read; the
    damaged one goes into the quarantine.

    Args:
        path: of the database, which nobody has open.
        quarantine: where the damaged file goes.
        reason: what is wrong with it.

    Returns:
        How many operations were saved.
    """
    new = path.with_name(f"{path.name}.salvaged.tmp")
    new.unlink(missing_ok=True)
    saved = _copy(path, new)
    for ending in ("", *_BESIDE):
        quarantine.set_aside(
            path.with_name(path.name + ending),
            "operations database",
            f"{reason}; {saved} operations were saved from it",
        )
    new.replace(path)
    return saved


def _copy(path: Path, new: Path) -> int:
    """Copy what can be read, and tell how many rows that was."""
    with closing(sqlite3.connect(new, isolation_level=None)) as target:
        migrate(target, str(new))
        target.execute("BEGIN")
        with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(path)) as source:
            forgiving(source)
            for order in ("ASC", "DESC"):  # up to the damage from either side
                for row in _rows(source, order):
                    names = ", ".join(row)
                    places = ", ".join("?" * len(row))
                    target.execute(
                        f"INSERT OR IGNORE INTO operations ({names}) VALUES ({places})",
                        list(row.values()),
                    )
        target.execute("COMMIT")
        (saved,) = target.execute("SELECT count(*) FROM operations").fetchone()
        return int(saved)


def _rows(source: sqlite3.Connection, order: str) -> Iterator[dict[str, object]]:
    """The rows in an order, up to the first that cannot be read."""
    with contextlib.suppress(sqlite3.Error):
        found = source.execute(f"SELECT * FROM operations NOT INDEXED ORDER BY name {order}")
        columns = [column[0] for column in found.description]
        for row in found:
            yield dict(zip(columns, row, strict=True))
