"""How the server divides the time that it has to stop."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from service import server as server_module
from service.engine.metrics import Metrics
from service.server import Server


class Drained:
    """Server parts that note the seconds that each was given, and whose two long waits end only
    when both have begun.
    """

    def __init__(self) -> None:
        self.given: dict[str, float] = {}
        self.order: list[str] = []
        self.both = asyncio.Barrier(2)

    async def _long(self, name: str, grace: float) -> None:
        self.given[name] = grace
        await asyncio.wait_for(self.both.wait(), 10)
        self.order.append(name)

    async def stop(self, grace: float) -> None:
        await self._long("calls", grace)

    async def drain(self, grace: float) -> None:
        await self._long("operations", grace)

    async def enter_graceful_shutdown(self) -> None:
        self.order.append("health")

    async def close(self) -> None:
        self.order.append("operations closed")


async def at_once(grace: float) -> None:
    """Stops without waiting."""


def test_calls_and_operations_have_all_the_time_at_once() -> None:
    async def run() -> Drained:
        parts, order = Drained(), list[str]()
        server = SimpleNamespace(
            settings=SimpleNamespace(drain_seconds=12.0),
            _health=parts,
            _server=parts,
            _watching=(),
            _traces=None,
            _authority=None,
            _access_log=None,
            _probes=SimpleNamespace(stop=at_once),
            metrics=Metrics(),
            _doors=SimpleNamespace(shutdown=lambda **_: None),
            _operations=parts,
            _upkeep=SimpleNamespace(cancel=lambda: order.append("upkeep")),
            state=SimpleNamespace(close=lambda: order.append("state")),
            engine=SimpleNamespace(close=lambda _: order.append("engine")),
            _pool=SimpleNamespace(shutdown=lambda **_: order.append("pool")),
            _beside=SimpleNamespace(shutdown=lambda **_: order.append("beside")),
        )
        await Server.drain(server)  # type: ignore[arg-type]
        parts.order += order
        return parts

    parts = asyncio.run(run())
    assert parts.given == {"calls": 12.0, "operations": 12.0}
    assert parts.order[0] == "health"
    assert set(parts.order[1:3]) == {"calls", "operations"}
    assert parts.order[3:] == [
        "operations closed",
        "upkeep",
        "engine",
        "pool",
        "beside",
        "state",
    ]


def test_an_engine_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(server_module, "CLOSE_SECONDS", 0.1)

    async def run() -> None:
        parts = Drained()
        server = SimpleNamespace(
            settings=SimpleNamespace(drain_seconds=1.0),
            _health=parts,
            _server=parts,
            _watching=(),
            _traces=None,
            _authority=None,
            _access_log=None,
            _probes=SimpleNamespace(stop=at_once),
            metrics=Metrics(),
            _doors=SimpleNamespace(shutdown=lambda **_: None),
            _operations=parts,
            _upkeep=SimpleNamespace(cancel=lambda: None),
            state=SimpleNamespace(close=lambda: None),
            engine=SimpleNamespace(close=lambda _: never.wait(60)),
            _pool=SimpleNamespace(shutdown=lambda **_: None),
            _beside=SimpleNamespace(shutdown=lambda **_: None),
        )
        await asyncio.wait_for(Server.drain(server), 30)  # type: ignore[arg-type]

    asyncio.run(run())
    never.set()
