"""Operations are counted by state while they last, and by outcome once they have ended."""

import asyncio
import threading
from pathlib import Path
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue

from service.operations import OperationContext, Operations, OperationStore
from tests.toys_server import eventually


def test_operations_are_counted_by_state_and_outcome(tmp_path: Path) -> None:
    gate = threading.Event()

    def runner(request: Any, context: OperationContext) -> StringValue:
        assert gate.wait(30)
        value = StringValue()
        request.Unpack(value)
        if value.value == "fails":
            raise ValueError("as it was told")
        return value

    async def run() -> None:
        operations = Operations(OperationStore(tmp_path / "operations.sqlite"), parallel=1)
        operations.register("Kind", runner)
        assert operations.census() == {"running": 0, "waiting": 0}
        started = [
            await operations.start("Kind", StringValue(value=value), StringValue())
            for value in ("succeeds", "fails", "is cancelled")
        ]
        await asyncio.to_thread(eventually, lambda: operations.census()["running"] == 1)
        assert operations.census() == {"running": 1, "waiting": 2}
        await operations.cancel(started[2].name)
        gate.set()
        for operation in started:
            await operations.wait(operation.name, 30)
        assert operations.census() == {"running": 0, "waiting": 0}
        assert operations.ended == {"succeeded": 1, "failed": 1, "cancelled": 1}
        await operations.drain(1)
        await operations.close()

    asyncio.run(asyncio.wait_for(run(), 60))
