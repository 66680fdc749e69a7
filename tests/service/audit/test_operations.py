"""Operations that outlive several servers: crashes count since the last lasting progress; what they
leave behind is removed.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue, UInt64Value
from google.rpc import code_pb2  # type: ignore[import-untyped, unused-ignore]

from service.operations import (
    OperationContext,
    OperationRunning,
    Operations,
    OperationStore,
    UnknownOperation,
)

LONG = 30.0


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), LONG))


def crashes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        ((count,),) = database.execute("SELECT crashes FROM operations").fetchall()
    return int(count)


async def lived(path: Path, advances: bool, lasting: bool) -> None:
    """A server that runs the operation until it has made its progress, and then dies without a
    word.
    """
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(_: Any, context: OperationContext) -> StringValue:
        if advances:
            context.progress(UInt64Value(value=1), lasting=lasting)
        loop.call_soon_threadsafe(begun.set)
        while not context.cancelled():
            time.sleep(0.002)
        return StringValue()

    operations = Operations(OperationStore(path), interval=1e6)
    operations.register("kind", work)
    if not await operations.recover() and not await operations.page(1, None, None, None):
        await operations.start("kind", StringValue(), UInt64Value())
    if operations._live:
        await begun.wait()
    await operations.page(1, None, None, None)  # behind what is being written
    for job in operations._live.values():
        job.end.cancel()  # nothing of the end reaches the disk
        job.context.stop()


@pytest.mark.parametrize(
    ("advances", "lasting", "given_up"),
    [(False, False, True), (True, False, True), (True, True, False)],
)
def test_crashes_count_since_the_last_lasting_progress(
    tmp_path: Path, advances: bool, lasting: bool, given_up: bool
) -> None:
    path = tmp_path / "o.db"

    async def scenario() -> None:
        for _ in range(5):
            await lived(path, advances, lasting)
        operations = Operations(OperationStore(path))
        (operation,) = await operations.page(1, None, None, None)
        assert operation.done is given_up
        if given_up:
            assert operation.error.code == code_pb2.ABORTED
        await operations.close()

    run(scenario)
    if not given_up:
        assert crashes(path) == 0


def test_only_the_first_lasting_progress_of_a_server_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, written = tmp_path / "o.db", list[bool]()
    change = OperationStore.change

    def counted(
        self: OperationStore, name: str, how: Any, forgive: bool = False, *more: Any
    ) -> None:
        written.append(forgive)
        change(self, name, how, forgive, *more)

    async def scenario() -> None:
        await lived(path, False, False)
        monkeypatch.setattr(OperationStore, "change", counted)
        operations = Operations(OperationStore(path), interval=1e6)

        def work(_: Any, context: OperationContext) -> StringValue:
            for number in range(100):
                context.progress(UInt64Value(value=number), lasting=True)
            return StringValue(value="done")

        operations.register("kind", work)
        await operations.recover()
        (operation,) = await operations.page(1, None, None, None)
        assert (await operations.wait(operation.name, LONG)).done
        await operations.close()

    run(scenario)
    assert written == [True, False]  # and the end
    assert crashes(path) == 0


def test_deleting_removes_what_an_operation_left_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        operations, gone, hold = (
            Operations(OperationStore(tmp_path / "o.db")),
            list[str](),
            asyncio.Event(),
        )
        loop = asyncio.get_running_loop()

        def work(_: Any, context: OperationContext) -> StringValue:
            asyncio.run_coroutine_threadsafe(hold.wait(), loop).result(LONG)
            return StringValue()

        operations.register("kind", work, gone.append)
        operations.register("other", work)
        kept = await operations.start("other", StringValue(), StringValue())
        started = await operations.start("kind", StringValue(), StringValue())
        with pytest.raises(OperationRunning):
            await operations.delete(started.name)
        assert not gone
        hold.set()
        for operation in (kept, started):
            await operations.wait(operation.name, LONG)
            await operations.delete(operation.name)
        assert gone == [started.name]
        with pytest.raises(UnknownOperation):
            await operations.delete(started.name)
        assert gone == [started.name]
        await operations.close()

    run(scenario)
