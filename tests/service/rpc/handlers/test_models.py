"""ModelService's handlers when their calls are cancelled, on a zoo whose loads and unloads last
until they are let go.
"""

import asyncio
import gc
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from service.rpc.handlers.models import ModelHandler
from striate.v1 import model_pb2
from tests.service.rpc.toys_studio import CALL

LONG = 20.0  # seconds after which a test that hangs has failed


class SlowZoo:
    """Its changes begin, wait until `go` is set, and then happen or fail."""

    def __init__(self, fails: bool = False) -> None:
        self.names: set[str] = {"old"}
        self.began, self.go, self.fails = threading.Event(), threading.Event(), fails

    def load(self, name: str, _: str, labels: tuple[str, ...]) -> Any:
        self._wait()
        self.names.add(name)
        return SimpleNamespace(name=name)

    def unload(self, name: str) -> int:
        self._wait()
        self.names.remove(name)
        return 1

    def loaded(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.names]

    def _wait(self) -> None:
        self.began.set()
        assert self.go.wait(LONG)
        if self.fails:
            raise LookupError("it cannot be had")


CHANGES: list[tuple[Callable[[ModelHandler], Any], set[str]]] = [
    (
        lambda handlers: handlers.load_model(model_pb2.LoadModelRequest(model="new"), CALL),
        {"old", "new"},
    ),
    (
        lambda handlers: handlers.unload_model(model_pb2.UnloadModelRequest(model="old"), CALL),
        set(),
    ),
]


async def cancelled(zoo: SlowZoo, call: Callable[[ModelHandler], Any]) -> list[set[str]]:
    """Cancel a call while its change goes on; the names that served whenever the server was told of
    a change.
    """
    told: list[set[str]] = []

    async def on_change(_: str) -> None:
        told.append(set(zoo.names))

    handlers = ModelHandler(zoo, on_change)  # type: ignore[arg-type]
    task = asyncio.ensure_future(call(handlers))
    assert await asyncio.to_thread(zoo.began.wait, LONG)
    changes = asyncio.all_tasks() - {asyncio.current_task(), task}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    zoo.go.set()
    await asyncio.wait(changes, timeout=LONG)
    return told


@pytest.mark.parametrize(("call", "left"), CHANGES)
def test_the_server_hears_of_a_change_whose_call_was_cancelled(
    call: Callable[[ModelHandler], Any], left: set[str]
) -> None:
    assert asyncio.run(cancelled(SlowZoo(), call)) == [left]


@pytest.mark.parametrize(("call", "_"), CHANGES)
def test_a_change_that_fails_changes_nothing(
    call: Callable[[ModelHandler], Any], _: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert asyncio.run(cancelled(SlowZoo(fails=True), call)) == []
    gc.collect()
    assert not caplog.records  # asyncio complains of exceptions that nobody has seen
