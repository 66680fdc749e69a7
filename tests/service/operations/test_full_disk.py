"""Operations on a disk that takes nothing more: their ends are told at once, and written later."""

import asyncio
import sqlite3
import threading
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import code_pb2  # type: ignore[import-untyped, unused-ignore]

from service.operations import OperationContext, Operations, OperationStore, unwritten
from service.state import StorageFull, storage_error
from tests.toys_server import eventually

PATIENCE = 60.0


class Disk(OperationStore):
    """A store whose file may not grow while it is `full`: SQLite itself says so."""

    def full(self, full: bool) -> None:
        def limit(database: sqlite3.Connection) -> None:
            database.execute(f"PRAGMA max_page_count = {1 if full else 2**30}")

        self._database.run(limit)


def words(text: str) -> StringValue:
    return StringValue(value=text)


async def ended_on_a_full_disk(disk: Disk, fail: bool) -> tuple[Operations, str]:
    """An operation whose end, too long for the room that is left, is not on disk."""
    go_on = threading.Event()

    def run(request: Any, context: OperationContext) -> StringValue:
        assert go_on.wait(PATIENCE)
        if fail:
            raise ValueError("x" * 50_000)
        return words("y" * 50_000)

    operations = Operations(disk)
    operations.register("k", run)
    name = (await operations.start("k", words("q"), words("m"))).name
    waiting = asyncio.ensure_future(operations.wait(name, PATIENCE))
    await asyncio.sleep(0)
    disk.full(True)
    go_on.set()
    assert (await waiting).done  # who waits is woken with the end itself
    assert disk.get(name).state == "running"
    return operations, name


@pytest.mark.parametrize("fail", [False, True])
def test_an_end_is_kept_and_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: bool
) -> None:
    monkeypatch.setattr(unwritten.UnwrittenEnds.__init__, "__defaults__", (0.05,))

    async def scenario() -> None:
        disk = Disk(tmp_path / "o.db")
        operations, name = await ended_on_a_full_disk(disk, fail)
        ended = await operations.get(name)
        assert ended.HasField("error") is fail
        assert (await operations.wait(name, PATIENCE)) == ended
        assert [one.name for one in await operations.page(5, None, None, True)] == [name]
        assert await operations.page(5, None, None, False) == []
        disk.full(False)
        await asyncio.to_thread(eventually, lambda: disk.get(name).state == "done")
        assert await operations.get(name) == ended
        await operations.drain(0)
        await operations.close()
        assert OperationStore(tmp_path / "o.db").get(name).operation == ended

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_what_is_refused_says_that_the_disk_is_full(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Disk(tmp_path / "o.db")
        operations, name = await ended_on_a_full_disk(disk, False)
        with pytest.raises(sqlite3.Error) as caught:
            await operations.start("k", words("z" * 50_000), words("m"))
        assert isinstance(storage_error(caught.value), StorageFull)
        with pytest.raises(sqlite3.Error):
            await operations.delete(name)
        await operations.drain(0)
        disk.full(False)
        await operations.close()  # tries once more
        assert OperationStore(tmp_path / "o.db").get(name).state == "done"

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_cancelling_works_on_a_full_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Disk(tmp_path / "o.db")

        def run(request: Any, context: OperationContext) -> StringValue:
            while not context.cancelled():
                threading.Event().wait(0.01)
            raise CancelledError

        operations = Operations(disk)
        operations.register("k", run)
        name = (await operations.start("k", words("q"), words("m"))).name

        def fail(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        disk.cancel = disk.change = fail  # type: ignore[method-assign, assignment]
        await operations.cancel(name)
        assert (await operations.wait(name, PATIENCE)).error.code == code_pb2.CANCELLED
        await operations.drain(0)
        await operations.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_a_disk_below_its_floor_takes_no_operation(tmp_path: Path) -> None:
    async def scenario() -> None:
        def refuse() -> None:
            raise StorageFull("below the floor")

        operations = Operations(OperationStore(tmp_path / "o.db"), require_room=refuse)
        operations.register("k", lambda request, context: words(""))
        with pytest.raises(StorageFull):
            await operations.start("k", words("q"), words("m"))
        assert await operations.page(5, None, None, None) == []
        await operations.drain(0)
        await operations.close()

    asyncio.run(scenario())


def test_old_operations_go(tmp_path: Path) -> None:
    """By the time that servers have served, which no clock changes; and beyond a number."""

    async def scenario() -> None:
        served, gone = [100.0], list[str]()
        operations = Operations(OperationStore(tmp_path / "o.db"), served=lambda: served[0])
        operations.register("k", lambda request, context: words("r"), gone.append)
        names = []
        for _ in range(4):
            names.append((await operations.start("k", words("q"), words("m"))).name)
            await operations.wait(names[-1], PATIENCE)
            served[0] += 10  # ended at 100, 110, 120 and 130
        assert await operations.expire({"k": 0.0}, 1.0, 100) == 0  # for ever
        assert await operations.expire({"k": 25.0}, 0.0, 100) == 2
        assert gone == names[:2]
        assert await operations.expire({}, 0.0, 1) == 1
        assert gone == names[:3]
        await operations.drain(0)
        await operations.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
