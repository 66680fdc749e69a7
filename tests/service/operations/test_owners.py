"""Operations belong to who started them: to others they do not exist, unless they are shared; and
they run as their owner's, also after a restart.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.wrappers_pb2 import StringValue

from service.auth.errors import PermissionDenied
from service.auth.identity import EVERYONE, Identity, Role, acting_as, current
from service.operations import (
    OperationContext,
    Operations,
    OperationsService,
    OperationStore,
    UnknownOperation,
)
from service.operations.errors import OperationDamaged
from service.operations.schema import MIGRATIONS

ANN = Identity("ann", Role.COMPUTE, ("a*",), ("digits",))
BOB = Identity("bob", Role.COMPUTE)
ADMIN = Identity("eve", Role.ADMIN)
NO_CONTEXT: Any = None

Ask = Callable[[OperationsService, str], Awaitable[object]]
ASKED: dict[str, Ask] = {
    "Get": lambda s, name: s.GetOperation(lro.GetOperationRequest(name=name), NO_CONTEXT),
    "Wait": lambda s, name: s.WaitOperation(lro.WaitOperationRequest(name=name), NO_CONTEXT),
    "Cancel": lambda s, name: s.CancelOperation(lro.CancelOperationRequest(name=name), NO_CONTEXT),
    "Delete": lambda s, name: s.DeleteOperation(lro.DeleteOperationRequest(name=name), NO_CONTEXT),
}
NOWHERE = "operations/0123456789abcdef00000000"


def whoami(request: Any, context: OperationContext) -> StringValue:
    """Return who runs it, and what they may name."""
    return StringValue(value=str(current.get()))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Operations]:
    operations = Operations(OperationStore(path))
    operations.register("who", whoami)
    await operations.recover()
    yield operations
    await operations.drain(10)
    await operations.close()


async def started(operations: Operations, caller: Identity, shared: tuple[str, ...] = ()) -> str:
    with acting_as(caller):
        operation = await operations.start("who", StringValue(), StringValue(), shared)
        await operations.wait(operation.name, 10)
    return str(operation.name)


async def listed(operations: Operations, caller: Identity, size: int = 2) -> list[str]:
    """Through all pages."""
    names, token, service = list[str](), "", OperationsService(operations)
    with acting_as(caller):
        while True:
            page = await service.ListOperations(
                lro.ListOperationsRequest(page_size=size, page_token=token), NO_CONTEXT
            )
            names += [operation.name for operation in page.operations]
            token = page.next_page_token
            if not token:
                return names


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("asked", ASKED)
def test_anothers_operation_is_as_none(tmp_path: Path, asked: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "o.sqlite") as operations:
            name, service = await started(operations, ANN), OperationsService(operations)
            told = []
            with acting_as(BOB):
                for one in (name, NOWHERE):
                    with pytest.raises(UnknownOperation) as caught:
                        await ASKED[asked](service, one)
                    told.append(str(caught.value).replace(one, "?"))
            assert told[0] == told[1]
            for caller in (ANN, ADMIN) if asked != "Delete" else (ADMIN,):
                with acting_as(caller):
                    await ASKED[asked](service, name)

    run(scenario)


def test_a_list_has_what_one_may_see(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "o.sqlite") as operations:
            mine = [await started(operations, ANN) for _ in range(3)]
            theirs = [await started(operations, BOB) for _ in range(3)]
            shared = [await started(operations, ADMIN, ("compute",)) for _ in range(2)]
            shared += [await started(operations, ADMIN, ("bob", "zoe"))]
            nobodys = [await started(operations, EVERYONE)]
            for caller, expected in (
                (ANN, [*mine, *shared[:2]]),
                (BOB, [*theirs, *shared]),
                (Identity("zoe", Role.READ), shared[2:]),
                (ADMIN, [*mine, *theirs, *shared, *nobodys]),
                (EVERYONE, [*mine, *theirs, *shared, *nobodys]),
                (Identity("bo", Role.READ), []),
            ):
                assert await listed(operations, caller) == sorted(expected, reverse=True), caller

    run(scenario)


def test_what_is_shared_is_read_and_not_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "o.sqlite") as operations:
            name, service = await started(operations, ANN, ("bob",)), OperationsService(operations)
            with acting_as(BOB):
                for asked in ("Get", "Wait"):
                    await ASKED[asked](service, name)
                for asked in ("Cancel", "Delete"):
                    with pytest.raises(PermissionDenied, match="belongs to 'ann', who shares it"):
                        await ASKED[asked](service, name)
            with acting_as(ANN):
                await ASKED["Delete"](service, name)

    run(scenario)


def test_an_operation_runs_as_its_owners_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"

    async def first() -> None:
        async with opened(path) as operations:
            assert (await _response(operations, await started(operations, ANN))) == str(ANN)

    async def second() -> None:
        async with opened(path) as operations:
            newest = (await listed(operations, ANN))[0]
            assert (await _response(operations, newest)) == str(ANN)
            assert await listed(operations, BOB) == []

    run(first)
    store = OperationStore(path)
    store.insert("who", _packed(), _packed(), ANN)  # its server dies
    store.close()
    run(second)


async def _response(operations: Operations, name: str) -> str:
    with acting_as(ANN):
        ended, found = await operations.wait(name, 10), StringValue()
    assert ended.response.Unpack(found)
    return found.value


def test_what_was_there_before_there_were_owners_is_an_admins(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    store = OperationStore(path)
    name = store.insert("who", _packed(), _packed()).name
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for table in ("operations", "set_aside"):
            for column in ("owner", "rights", "shared"):
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute("PRAGMA user_version = 2")
    assert len(MIGRATIONS) == 3
    store = OperationStore(path)
    assert store.get(name).identity == EVERYONE
    assert store.get(name, ADMIN).name == name
    with pytest.raises(UnknownOperation):
        store.get(name, ANN)
    store.close()


def test_a_damaged_operation_is_told_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    store = OperationStore(path)
    names = [store.insert("who", _packed(), _packed(), ANN).name for _ in range(2)]
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE operations SET state = 'lost' WHERE name = ?", names[:1])
        database.execute("UPDATE operations SET rights = '[' WHERE name = ?", names[1:])
    for name in names:
        for _ in range(2):  # where it was, and where it was set aside
            with pytest.raises(UnknownOperation):
                store.get(name, BOB)
            for caller in (ANN, ADMIN):
                with pytest.raises(OperationDamaged):
                    store.get(name, caller)
    store.close()


def _packed() -> Any:
    found = Packed()
    found.Pack(StringValue())
    return found
