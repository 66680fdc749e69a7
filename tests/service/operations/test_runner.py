"""Long-running operations, through a real server on loopback, and across its death."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2 as lro  # type: ignore[import-untyped, unused-ignore]
from google.longrunning.operations_pb2_grpc import OperationsStub, add_OperationsServicer_to_server  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import StringValue, UInt64Value
from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped, unused-ignore]

from service.auth.identity import Identity, Role, current
from service.auth.quota import Quota, QuotaExceeded
from service.engine.metrics import Metrics
from service.operations import (
    OperationContext,
    Operations,
    OperationsService,
    OperationStore,
    Runner,
    ShuttingDown,
    TooManyOperations,
)
from service.rpc.doors.access import Access
from service.rpc.doors.admission import Admission
from service.rpc.doors.decoding import Decoder
from service.rpc.interceptor import CallInterceptor

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0  # seconds, for what should happen at once


class Gate:
    """A runner that waits until it is opened, or told to stop."""

    def __init__(self) -> None:
        self.opened, self.entered = threading.Event(), threading.Event()
        self.contexts: list[OperationContext] = []

    def __call__(self, request: Any, context: OperationContext) -> StringValue:
        self.contexts.append(context)
        self.entered.set()
        while not self.opened.wait(0.01):
            if context.cancelled():
                raise CancelledError
        return StringValue(value=f"did {text(request)}")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()  # no thread stays behind


def text(packed: Any) -> str:
    value = StringValue()
    assert packed.Unpack(value)
    return value.value


def number(packed: Any) -> int:
    value = UInt64Value()
    assert packed.Unpack(value)
    return value.value


def request(value: str) -> StringValue:
    return StringValue(value=value)


@asynccontextmanager
async def serving(
    path: Path, runners: dict[str, Runner], **options: Any
) -> AsyncIterator[tuple[Operations, Any]]:
    """A server with these runners over the database at `path`, which has taken up what it found:
    (operations, stub).
    """
    operations = Operations(OperationStore(path), **options)
    for kind, runner in runners.items():
        operations.register(kind, runner)
    await operations.recover()
    doors = Access(None), Admission(100), Decoder(ThreadPoolExecutor(1))
    server = grpc.aio.server(interceptors=[CallInterceptor(Metrics(), *doors)])
    add_OperationsServicer_to_server(OperationsService(operations), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]
        ) as channel:
            yield operations, OperationsStub(channel)
    finally:
        await operations.drain(PATIENCE)
        await server.stop(0)
        await operations.close()


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE)


async def wait(stub: Any, name: str) -> Any:
    return await stub.WaitOperation(
        lro.WaitOperationRequest(name=name, timeout=Duration(seconds=int(PATIENCE)))
    )


async def refused(call: Awaitable[Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scenario(), 2 * PATIENCE)

    asyncio.run(limited())


def test_an_operation_runs_to_its_response(tmp_path: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"gate": gate}) as (operations, stub):
            started = await operations.start("gate", request("x"), UInt64Value(value=1))
            assert not started.done
            await entered(gate)
            assert gate.contexts[0].name == started.name
            gate.contexts[0].progress(UInt64Value(value=7))
            now = await stub.GetOperation(lro.GetOperationRequest(name=started.name))
            assert (now.done, number(now.metadata)) == (False, 7)
            unfinished = await stub.WaitOperation(
                lro.WaitOperationRequest(name=started.name, timeout=Duration(nanos=1000))
            )
            assert not unfinished.done
            gate.opened.set()
            ended = await wait(stub, started.name)
            assert (ended.done, text(ended.response), number(ended.metadata)) == (True, "did x", 7)
            assert await stub.GetOperation(lro.GetOperationRequest(name=started.name)) == ended
            assert await wait(stub, started.name) == ended  # returns at once

    run(scenario)


def test_a_runner_that_raises_ends_with_its_error(tmp_path: Path) -> None:
    def fail(_: Any, context: OperationContext) -> StringValue:
        raise ValueError("the layer is gone")

    def describe(error: BaseException) -> Any:
        return status_pb2.Status(code=code_pb2.NOT_FOUND, message=f"described: {error}")

    async def scenario() -> None:
        async with serving(tmp_path / "a.db", {"fail": fail}) as (operations, stub):
            ended = await wait(
                stub, (await operations.start("fail", request(""), request("m"))).name
            )
            assert (ended.error.code, ended.error.message) == (
                code_pb2.INTERNAL,
                "ValueError: the layer is gone",
            )
            assert text(ended.metadata) == "m"
        async with serving(tmp_path / "b.db", {"fail": fail}, describe=describe) as (
            operations,
            stub,
        ):
            ended = await wait(
                stub, (await operations.start("fail", request(""), request("m"))).name
            )
            assert (ended.error.code, ended.error.message) == (
                code_pb2.NOT_FOUND,
                "described: the layer is gone",
            )

    run(scenario)


def test_cancel_and_delete(tmp_path: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"gate": gate}, parallel=1) as (operations, stub):
            running = await operations.start("gate", request("x"), request("m"))
            queued = await operations.start("gate", request("y"), request("m"))  # has no thread yet
            await entered(gate)
            delete = lro.DeleteOperationRequest(name=running.name)
            assert (
                await refused(stub.DeleteOperation(delete)) is grpc.StatusCode.FAILED_PRECONDITION
            )
            for name in (queued.name, running.name):
                await stub.CancelOperation(lro.CancelOperationRequest(name=name))
                ended = await wait(stub, name)
                assert (ended.done, ended.error.code) == (True, code_pb2.CANCELLED)
                await stub.CancelOperation(lro.CancelOperationRequest(name=name))  # nothing happens
            assert len(gate.contexts) == 1  # the queued one never ran
            await stub.DeleteOperation(delete)
            assert await refused(stub.DeleteOperation(delete)) is grpc.StatusCode.NOT_FOUND
            assert (
                await refused(stub.GetOperation(lro.GetOperationRequest(name=running.name)))
                is grpc.StatusCode.NOT_FOUND
            )

    run(scenario)


def test_a_runner_that_finishes_all_the_same_keeps_its_response(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def deaf(_: Any, context: OperationContext) -> StringValue:
        begun.set()
        assert go_on.wait(PATIENCE)
        return StringValue(value="done anyway")

    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"deaf": deaf}) as (operations, stub):
            name = (await operations.start("deaf", request(""), request("m"))).name
            await asyncio.to_thread(begun.wait, PATIENCE)
            await stub.CancelOperation(lro.CancelOperationRequest(name=name))
            go_on.set()
            assert text((await wait(stub, name)).response) == "done anyway"

    run(scenario)


def test_unknown_names(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {}) as (operations, stub):
            name = "operations/none"
            assert (
                await refused(stub.GetOperation(lro.GetOperationRequest(name=name)))
                is grpc.StatusCode.NOT_FOUND
            )
            assert (
                await refused(stub.WaitOperation(lro.WaitOperationRequest(name=name)))
                is grpc.StatusCode.NOT_FOUND
            )
            assert (
                await refused(stub.CancelOperation(lro.CancelOperationRequest(name=name)))
                is grpc.StatusCode.NOT_FOUND
            )
            assert (
                await refused(stub.DeleteOperation(lro.DeleteOperationRequest(name=name)))
                is grpc.StatusCode.NOT_FOUND
            )
            with pytest.raises(KeyError, match="nobody"):
                await operations.start("nobody", request(""), request(""))

    run(scenario)


def test_wait_without_a_timeout_ends_with_the_calls_deadline(tmp_path: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"gate": gate}) as (operations, stub):
            name = (await operations.start("gate", request("x"), request("m"))).name
            late = stub.WaitOperation(lro.WaitOperationRequest(name=name), timeout=0.2)
            assert await refused(late) is grpc.StatusCode.DEADLINE_EXCEEDED
            gate.opened.set()
            assert (
                text((await stub.WaitOperation(lro.WaitOperationRequest(name=name))).response)
                == "did x"
            )

    run(scenario)


def test_listing_by_pages_and_filters(tmp_path: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"gate": gate, "quick": lambda r, _: r}) as (
            operations,
            stub,
        ):
            quick = [
                (await operations.start("quick", request(str(n)), request("m"))).name
                for n in range(5)
            ]
            for name in quick:
                await wait(stub, name)
            slow = [
                (await operations.start("gate", request(""), request("m"))).name for _ in range(2)
            ]

            async def names(**options: Any) -> list[list[str]]:
                pages, token = [], ""
                while True:
                    answer = await stub.ListOperations(
                        lro.ListOperationsRequest(page_token=token, **options)
                    )
                    pages.append([operation.name for operation in answer.operations])
                    token = answer.next_page_token
                    if not token:
                        return pages

            newest_first = [*reversed(slow), *reversed(quick)]
            assert await names() == await names(name="operations") == [newest_first]
            assert await names(page_size=3) == [
                newest_first[:3],
                newest_first[3:6],
                newest_first[6:],
            ]
            assert await names(page_size=7) == [newest_first]  # no empty last page
            assert await names(filter="done=true", page_size=4) == [
                newest_first[2:6],
                newest_first[6:],
            ]
            assert await names(filter="done = false AND kind=gate") == [newest_first[:2]]
            assert await names(filter='kind="quick" AND done=false') == [[]]
            for wrong in (
                {"filter": "state=3"},
                {"page_size": -1},
                {"page_token": "x'; --"},
                {"name": "elsewhere"},
            ):
                assert (
                    await refused(stub.ListOperations(lro.ListOperationsRequest(**wrong)))
                    is grpc.StatusCode.INVALID_ARGUMENT
                )

    run(scenario)


def test_each_caller_has_as_many_as_they_may(tmp_path: Path, gate: Gate) -> None:
    ann = Identity("ann", Role.COMPUTE, quota=Quota(operations=2))

    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"gate": gate}) as (operations, stub):

            async def start(by: Identity) -> str:
                current.set(by)  # of this task alone
                return str((await operations.start("gate", request("x"), request("m"))).name)

            async def asked(by: Identity) -> str:
                return await asyncio.create_task(start(by))

            found = await asyncio.gather(*(asked(ann) for _ in range(3)), return_exceptions=True)
            names = [name for name in found if isinstance(name, str)]
            (refusal,) = (one for one in found if not isinstance(one, str))
            assert isinstance(refusal, QuotaExceeded)
            assert (len(names), operations.unfinished("ann")) == (2, 2)
            await asked(Identity("ben", Role.COMPUTE, quota=Quota(operations=1)))
            gate.opened.set()
            await wait(stub, names[0])
            await asked(ann)

    run(scenario)


def test_too_many_are_refused(tmp_path: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"gate": gate}, most=2, parallel=1) as (
            operations,
            stub,
        ):
            names = [
                (await operations.start("gate", request("x"), request("m"))).name for _ in range(2)
            ]
            with pytest.raises(TooManyOperations):
                await operations.start("gate", request("x"), request("m"))
            gate.opened.set()
            await wait(stub, names[0])
            await wait(stub, names[1])
            await operations.start("gate", request("x"), request("m"))

    run(scenario)


def test_a_drain_interrupts_and_the_next_server_goes_on(tmp_path: Path, gate: Gate) -> None:
    async def scenario() -> None:
        path = tmp_path / "o.db"
        async with serving(path, {"gate": gate}, parallel=1) as (operations, stub):
            running = await operations.start("gate", request("x"), UInt64Value(value=1))
            queued = await operations.start("gate", request("y"), UInt64Value(value=1))
            await entered(gate)
            waiting = asyncio.ensure_future(
                stub.WaitOperation(lro.WaitOperationRequest(name=running.name))
            )
            await operations.drain(PATIENCE)
            now = await stub.GetOperation(lro.GetOperationRequest(name=running.name))
            assert (now.done, now.HasField("error")) == (False, False)
            assert not (await waiting).done  # who waits is told, and not left hanging
            with pytest.raises(ShuttingDown):
                await operations.start("gate", request("z"), UInt64Value(value=1))
        assert rows(path) == {running.name: ("interrupted", 0), queued.name: ("interrupted", 0)}
        later = Gate()
        later.opened.set()
        async with serving(path, {"gate": later}) as (_, stub):
            assert text((await wait(stub, running.name)).response) == "did x"
            assert text((await wait(stub, queued.name)).response) == "did y"
            assert [context.resumed for context in later.contexts] == [True, True]

    run(scenario)


def rows(path: Path) -> dict[str, tuple[str, int]]:
    """name -> (state, crashes), read with another connection."""
    with closing(sqlite3.connect(path)) as database:
        return {
            name: (state, crashes)
            for name, state, crashes in database.execute(
                "SELECT name, state, crashes FROM operations"
            )
        }


def test_a_drain_journals_runners_that_do_not_hear(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def deaf(_: Any, context: OperationContext) -> StringValue:
        begun.set()
        go_on.wait(PATIENCE)
        return StringValue()

    async def scenario() -> None:
        operations = Operations(OperationStore(tmp_path / "o.db"))
        operations.register("deaf", deaf)
        name = (await operations.start("deaf", request(""), request("m"))).name
        await asyncio.to_thread(begun.wait, PATIENCE)
        await operations.drain(0)
        await operations.close()
        assert rows(tmp_path / "o.db") == {name: ("interrupted", 0)}

    try:
        run(scenario)
    finally:
        go_on.set()


def test_a_drain_that_breaks_a_runner_interrupts_it(tmp_path: Path) -> None:
    begun = threading.Event()

    def broken(_: Any, context: OperationContext) -> StringValue:
        begun.set()
        while not context.cancelled():
            time.sleep(0.01)
        raise RuntimeError("the device is closed")

    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"broken": broken}) as (operations, _):
            name = (await operations.start("broken", request(""), request("m"))).name
            await asyncio.to_thread(begun.wait, PATIENCE)
        assert rows(tmp_path / "o.db") == {name: ("interrupted", 0)}

    run(scenario)


CHILD = """
import asyncio, sys, threading, time
from pathlib import Path
from google.protobuf.wrappers_pb2 import StringValue, UInt64Value
from service.operations import Operations, OperationStore

told = threading.Semaphore(0)

def work(request, context):
    context.progress(UInt64Value(value=3))
    told.release()
    time.sleep(600)

async def main():
    operations = Operations(OperationStore(Path(sys.argv[1])), parallel=2, interval=0)
    operations.register("work", work)
    operations.register("gone", work)
    names = [
            (await operations.start(kind, StringValue(value=kind), UInt64Value(value=1))).name
            for kind in ("work", "gone", "work")
        ]
    await operations.cancel(names[2])  # it waits for a thread, and ends at once
    await operations.wait(names[2], None)
    for _ in range(2):
        await asyncio.to_thread(told.acquire)
    await operations.get(names[0])  # the disk's queue is in order: progress is written
    print(*names, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    try:
        names = child.stdout.readline().split()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert len(names) == 3
    seen: list[int] = []

    def work(packed: Any, context: OperationContext) -> StringValue:
        seen.append(number(context.metadata))
        return StringValue(value=f"did {text(packed)}")

    async def scenario() -> None:
        async with serving(path, {"work": work}) as (_, stub):
            resumed, gone, cancelled = [await wait(stub, name) for name in names]
            assert text(resumed.response) == "did work"
            assert seen == [3]  # the progress of the first life
            assert gone.error.code == code_pb2.ABORTED
            assert "'gone'" in gone.error.message
            assert cancelled.error.code == code_pb2.CANCELLED
        assert rows(path)[names[0]] == ("done", 1)

    run(scenario)


def abandon(path: Path, runner: Runner, cancel: bool = False) -> str:
    """Start an operation, and drop everything without a word, as a crash would."""

    async def scenario() -> str:
        operations = Operations(OperationStore(path))
        operations.register("kind", runner)
        await operations.recover()
        found = await operations.page(1, None, None, None)
        name: str = (
            found[0].name
            if found
            else (await operations.start("kind", request("x"), request("m"))).name
        )
        if cancel:
            OperationStore(path).cancel(name)  # written down, and then the server dies
        return name

    return asyncio.run(scenario())


def test_an_operation_that_was_to_be_cancelled_ends_so(tmp_path: Path, gate: Gate) -> None:
    path = tmp_path / "o.db"
    name = abandon(path, gate, cancel=True)

    async def scenario() -> None:
        async with serving(path, {"kind": gate}) as (_, stub):
            assert (await wait(stub, name)).error.code == code_pb2.CANCELLED

    run(scenario)


def test_an_operation_that_kills_the_server_is_given_up(tmp_path: Path, gate: Gate) -> None:
    path = tmp_path / "o.db"
    (name,) = {abandon(path, gate) for _ in range(3)}

    async def scenario() -> None:
        async with serving(path, {"kind": gate}) as (_, stub):
            ended = await wait(stub, name)
            assert ended.error.code == code_pb2.ABORTED
            assert "died 3 times" in ended.error.message

    run(scenario)


@pytest.mark.parametrize(
    ("progresses", "code"), [(False, code_pb2.ABORTED), (True, code_pb2.INTERNAL)]
)
def test_an_operation_that_cannot_be_taken_up_is_aborted(
    tmp_path: Path, gate: Gate, progresses: bool, code: int
) -> None:
    path = tmp_path / "o.db"
    name = abandon(path, gate)

    def fail(_: Any, context: OperationContext) -> StringValue:
        if progresses:
            context.progress(request("further"))
        raise RuntimeError("no such model any more")

    async def scenario() -> None:
        async with serving(path, {"kind": fail}) as (_, stub):
            ended = await wait(stub, name)
            assert ended.error.code == code
            assert "no such model any more" in ended.error.message

    run(scenario)


def test_work_that_the_server_itself_stops_is_aborted(tmp_path: Path) -> None:
    def stopped(_: Any, context: OperationContext) -> StringValue:
        raise CancelledError

    async def scenario() -> None:
        async with serving(tmp_path / "o.db", {"kind": stopped}) as (operations, stub):
            ended = await wait(
                stub, (await operations.start("kind", request("x"), request("m"))).name
            )
            assert ended.error.code == code_pb2.ABORTED

    run(scenario)


def test_progress_is_written_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "o.db"

    def stored() -> int:
        with closing(sqlite3.connect(path)) as database:
            ((blob,),) = database.execute("SELECT operation FROM operations")
        return number(lro.Operation.FromString(blob).metadata)

    def patient(_: Any, context: OperationContext) -> StringValue:
        for step in range(1, 1001):
            context.progress(UInt64Value(value=step))
        return StringValue(value=str(stored()))

    async def scenario() -> None:
        async with serving(path, {"kind": patient}, interval=1e6) as (operations, stub):
            ended = await wait(
                stub, (await operations.start("kind", request("x"), UInt64Value(value=0))).name
            )
            assert text(ended.response) == "0"  # not once in a million seconds
            assert number(ended.metadata) == stored() == 1000

    run(scenario)


def test_the_database(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "o.db"
    OperationStore(path).close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(ValueError, match="version 99"):
        OperationStore(path)
