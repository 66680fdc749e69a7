"""Log lines of a call have its request's id, in whichever of the threads they are written."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import structlog

from service.engine.metrics import Metrics
from service.rpc.call_span import CallSpan
from service.rpc.compute import Compute
from service.threads import in_daemon_thread
from tests.service.engine.toys_engine import running


def test_the_id_is_known_in_every_thread_of_a_call() -> None:
    def seen() -> tuple[str, str]:
        bound: dict[str, Any] = structlog.contextvars.get_contextvars()
        return threading.current_thread().name, bound.get("request_id", "")

    async def call(compute: Compute, number: int) -> dict[str, str]:
        context = Mock()
        context.invocation_metadata.return_value = (("x-request-id", f"request {number}"),)
        context.peer.return_value = "ipv4:127.0.0.1:1"
        async with CallSpan(Metrics(), "/a.Service/Method", context):
            found = [
                seen(),
                await compute.run_in_pool(seen),
                await compute.run_on_device(seen),
                await compute.run_beside_device(seen),
                await in_daemon_thread(seen),
                await asyncio.to_thread(seen),
            ]
        assert len({name for name, _ in found}) == len(found)
        return dict(found)

    async def run() -> list[dict[str, str]]:
        with ThreadPoolExecutor(2, "images") as pool, running() as engine:
            compute = Compute(engine, pool)
            calls = (asyncio.create_task(call(compute, number)) for number in range(2))
            return await asyncio.gather(*calls)

    for number, found in enumerate(asyncio.run(run())):
        assert set(found.values()) == {f"request {number}"}, found
