"""The database of operations: rows and pages that a disk has spoilt, databases of earlier versions,
clocks that jump.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.wrappers_pb2 import StringValue

from service.operations import OperationStore, UnknownOperation
from service.operations.errors import OperationDamaged
from service.operations.schema import MIGRATIONS
from service.state import Quarantine


def packed(text: str) -> Packed:
    found = Packed()
    found.Pack(StringValue(value=text))
    return found


class Counted(Quarantine):
    """A quarantine that remembers what it was told."""

    def __init__(self, folder: Path) -> None:
        self.kinds: list[str] = []
        super().__init__(folder, self.kinds.append)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operations.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[OperationStore]:
    opened = OperationStore(path)
    yield opened
    opened.close()


def filled(path: Path, count: int) -> list[str]:
    """The names of new running operations, oldest first."""
    store = OperationStore(path)
    names = [store.insert("k", packed("x" * 500), packed("m")).name for _ in range(count)]
    store.close()
    return names


def execute(path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(statement, values).fetchall()


SPOILT = {
    "request": b"\xff\xff\xff",
    "operation": b"\x0a\xff",
    "state": "asleep",
    "created": "yesterday",
    "updated": float("inf"),
    "crashes": "many",
    "kind": b"\xff\x00",
}


@pytest.mark.parametrize("column", SPOILT)
def test_a_bad_row_is_set_aside_and_the_others_are_served(path: Path, column: str) -> None:
    names = filled(path, 3)
    execute(path, f"UPDATE operations SET {column} = ? WHERE name = ?", SPOILT[column], names[1])
    quarantine = Counted(path.parent / "q")
    store = OperationStore(path, quarantine)
    assert [record.name for record in store.unfinished()] == [names[0], names[2]]
    assert [record.name for record in store.page(10)] == [names[2], names[0]]
    assert quarantine.kinds == ["operation"]
    assert execute(path, "SELECT name FROM set_aside") == [(names[1],)]
    with pytest.raises(OperationDamaged, match="start the operation again"):
        store.get(names[1])
    store.close()


def test_a_text_that_is_no_utf8_spoils_no_other_row(path: Path) -> None:
    names = filled(path, 2)
    execute(
        path, "UPDATE operations SET kind = CAST(x'ff' AS TEXT) || kind WHERE name = ?", names[0]
    )
    execute(
        path, "UPDATE operations SET name = CAST(x'80ff' AS TEXT) || name WHERE name = ?", names[0]
    )
    store = OperationStore(path)
    assert [record.name for record in store.page(1)] == [names[1]]
    assert [record.name for record in store.unfinished()] == [names[1]]
    assert execute(path, "SELECT count(*) FROM set_aside") == [(1,)]
    store.close()


def test_a_row_that_says_two_things_is_set_aside(path: Path) -> None:
    (name,) = filled(path, 1)
    done = Operation(name=name, done=True).SerializeToString()
    execute(path, "UPDATE operations SET operation = ?", done)
    store = OperationStore(path)
    with pytest.raises(OperationDamaged):
        store.change(name, lambda operation: None)
    assert store.page(5) == []
    store.close()


def test_pages_are_full_whatever_was_set_aside(path: Path) -> None:
    names = filled(path, 9)
    for name in names[3:6]:
        execute(path, "UPDATE operations SET state = 'odd' WHERE name = ?", name)
    store = OperationStore(path)
    assert [record.name for record in store.page(5)] == [*reversed(names[6:]), names[2], names[1]]
    store.close()


def spoil_pages(path: Path, pages: range) -> None:
    size = execute(path, "PRAGMA page_size")[0][0]
    with path.open("rb+") as file:
        for page in pages:
            file.seek(page * size)
            file.write(b"\xa5" * size)


@pytest.mark.parametrize("open_before", [False, True])
def test_what_a_bad_page_leaves_is_served(path: Path, open_before: bool) -> None:
    names = filled(path, 200)
    size = execute(path, "PRAGMA page_size")[0][0]
    page = path.read_bytes().index(names[100].encode()) // size
    quarantine = Counted(path.parent / "q")
    store = OperationStore(path, quarantine) if open_before else None
    spoil_pages(path, range(page, page + 2))
    if store is not None:  # else the pages come from memory, and nobody is the wiser
        store._database._connection.execute("PRAGMA shrink_memory")
    store = store or OperationStore(path, quarantine)
    found = [record.name for record in store.page(1000)]
    assert set(found) < set(names)
    assert len(found) > 100  # each page holds a few
    assert found == sorted(found, reverse=True)
    assert "operations database" in quarantine.kinds
    assert any(file.name.endswith("operations.sqlite") for file in (path.parent / "q").iterdir())
    added = store.insert("k", packed("x"), packed("m")).name
    store.close()
    assert OperationStore(path).get(added).name == added


def test_a_file_that_is_no_database_is_moved_aside(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)
    store = OperationStore(path)
    assert store.page(10) == []
    (kept,) = (path.parent / "quarantine").glob("*operations.sqlite")
    assert kept.read_bytes().startswith(b"no database at all")
    store.close()


def test_a_database_of_the_first_version_is_brought_up(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
    name = "operations/0000000000000001aaaaaaaa"
    done = Operation(name=name, done=True, response=packed("r"))
    values = (
        name,
        "k",
        packed("q").SerializeToString(),
        done.SerializeToString(),
        "done",
        0,
        1,
        1,
        2,
    )
    execute(path, "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *values)
    store = OperationStore(path)
    found = store.get(name)
    assert (found.operation, found.crashes) == (done, 1)
    assert store.expired(1.0, "k", 10) == [name]
    store.close()
    assert execute(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert execute(path, "PRAGMA auto_vacuum") == [(2,)]


def test_a_database_of_a_later_version_is_refused(path: Path) -> None:
    filled(path, 1)
    execute(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ValueError, match="later one"):
        OperationStore(path)


def test_a_clock_that_is_put_back_keeps_the_order(
    store: OperationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.insert("k", packed("a"), packed("m")).name
    monkeypatch.setattr("service.operations.store.time.time_ns", lambda: 10**9)
    second = store.insert("k", packed("b"), packed("m")).name
    assert first < second
    assert [record.name for record in store.page(5)] == [second, first]


def test_what_is_deleted_gives_its_room_back(path: Path, store: OperationStore) -> None:
    names = [store.insert("k", packed("x" * 200_000), packed("m")).name for _ in range(20)]
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.stat().st_size
    for name in names:
        store.change(name, lambda operation: setattr(operation, "done", True))
        store.delete(name)
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert before > 4_000_000
    assert path.stat().st_size < before / 10


def test_unknown_names_are_not_damaged_ones(store: OperationStore) -> None:
    with pytest.raises(UnknownOperation):
        store.get("operations/1")
