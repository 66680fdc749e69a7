"""A device that hangs makes the server not ready, until it gets on again."""

import asyncio
import threading

import structlog

from service.engine.activity import Activity
from service.engine.engine import Engine
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics
from service.watch.device import DeviceWatch
from tests.toys_server import eventually

LIMITS = EngineLimits(tick_rows=4, memory=2**30, queue_size=4, chunk=4, threads=1)


def test_a_call_that_hangs_is_told_and_so_is_its_end() -> None:
    metrics = Metrics()
    engine = Engine(metrics, LIMITS)
    gate, told = threading.Event(), list[bool]()

    async def note(ready: bool) -> None:
        told.append(ready)

    async def run() -> None:
        watch = DeviceWatch(engine.activity, 0.05, note)
        await watch.look()
        assert told == []
        done = engine.run(gate.wait)
        await asyncio.to_thread(eventually, lambda: engine.activity.seconds() > 0.05)
        await watch.look()
        await watch.look()
        assert told == [False]
        gate.set()
        await asyncio.wrap_future(done)
        await asyncio.to_thread(eventually, lambda: engine.activity.present() is None)
        await watch.look()
        assert told == [False, True]

    try:
        with structlog.testing.capture_logs() as log:
            asyncio.run(asyncio.wait_for(run(), 30))
    finally:
        gate.set()
        engine.close(0)
    assert [line["event"] for line in log] == ["the device hangs", "the device gets on again"]
    assert "Event.wait" in log[0]["what"]
    assert log[0]["most"] == 0.05


def test_what_is_done_is_known_while_it_is_done() -> None:
    activity = Activity()
    assert activity.present() is None
    with activity.of("a pass"):
        present = activity.present()
        assert present is not None
        assert present[0] == "a pass"
    assert activity.seconds() == 0
