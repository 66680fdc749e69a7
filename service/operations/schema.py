"""The tables of the operations' database, and how those of earlier versions become today's."""

import sqlite3

# Each script leads from one version to the next; a database's `user_version` says how many it has
# behind it. A script that has been released is never changed: append another.
MIGRATIONS = (
    """
CREATE TABLE operations (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    request BLOB NOT NULL,       -- google.protobuf.Any
    operation BLOB NOT NULL,     -- google.longrunning.Operation
    state TEXT NOT NULL,         -- running, interrupted (the server went down in order), done
    cancelling INTEGER NOT NULL, -- somebody asked for an end
    crashes INTEGER NOT NULL,    -- deaths of the server since its last lasting progress
    created REAL NOT NULL,       -- seconds since 1970
    updated REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX unfinished ON operations (state) WHERE state != 'done';
""",
    """
ALTER TABLE operations ADD COLUMN ended REAL; -- seconds that servers had served by then
CREATE TABLE set_aside (                      -- rows that could not be read
    name, kind, request, operation, state, cancelling, crashes, created, updated, ended,
    reason TEXT NOT NULL,
    at REAL NOT NULL                          -- seconds since 1970
);
CREATE INDEX set_aside_name ON set_aside (name);
""",
    # What was there before belongs to nobody in particular.
    """
ALTER TABLE operations ADD COLUMN owner TEXT NOT NULL DEFAULT '';  -- a caller's name
ALTER TABLE operations ADD COLUMN rights TEXT NOT NULL DEFAULT ''; -- see service.auth.rights
ALTER TABLE operations ADD COLUMN shared TEXT NOT NULL DEFAULT ''; -- a line each, line feeds around
ALTER TABLE set_aside ADD COLUMN owner;
ALTER TABLE set_aside ADD COLUMN rights;
ALTER TABLE set_aside ADD COLUMN shared;
""",
)


def migrate(database: sqlite3.Connection, path: str) -> None:
    """Bring a database to today's version, one whole step after the other.

    Args:
        database: in autocommit mode; an empty one gets all tables.
        path: of its file, for the error.

    Raises:
        ValueError: it was written by a later version.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= len(MIGRATIONS):
        raise ValueError(
            f"{path!r} has version {version} of the operations' database; this server reads "
            f"{len(MIGRATIONS)} and below: serve it with the version that wrote it, or a later one"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        try:
            database.executescript(
                f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;"
            )
        except sqlite3.Error:
            if database.in_transaction:
                database.rollback()
            raise
