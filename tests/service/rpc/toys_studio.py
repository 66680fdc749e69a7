"""What tests of handlers share: those of all services over one small network, without gRPC."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from service.datasets import Datasets
from service.engine.engine import Engine
from service.index.store import IndexStore
from service.models.zoo import HostedModel, ModelZoo
from service.operations import Operations, OperationStore
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.errors import status_of
from service.rpc.registration import TABLE, Resources
from service.state import DiskSpace, Quarantine
from service.visualization.cache import MOST_BYTES
from striate.v1 import visualize_pb2 as pb
from tests.service.engine.toys_engine import running

NAME = "digits-lenet5"
LONG = 60.0


def visualize_request(**fields: Any) -> pb.VisualizeRequest:
    """A request whose fields and settings are told apart by their names."""
    known = pb.PictureSettings.DESCRIPTOR.fields_by_name
    settings = {name: fields.pop(name) for name in list(fields) if name in known}
    return pb.VisualizeRequest(
        model=NAME, settings=pb.PictureSettings(**settings) if settings else None, **fields
    )


class Call:
    """What a handler is told of a call: here, that it may take any time."""

    def time_remaining(self) -> float | None:
        return None


CALL = cast(Context, Call())


class Studio:
    """The parts of a server that make pictures."""

    def __init__(
        self,
        handlers: Any,
        engine: Engine,
        model: HostedModel,
        index: IndexStore,
        datasets: Datasets,
        state: Path,
        operations: Operations,
        zoo: ModelZoo,
    ) -> None:
        self.operations, self.zoo = operations, zoo
        self.handlers, self.engine, self.model = handlers, engine, model
        self.index, self.datasets, self.state = index, datasets, state

    async def jobs(self) -> int:
        """How many jobs the engine has, between two ticks."""
        return await asyncio.wrap_future(self.engine.run(lambda: len(self.engine._queue.jobs())))

    async def visualize(self, **fields: Any) -> pb.VisualizeResult:
        """The result of Visualize."""
        events = [
            event async for event in self.handlers.Visualize(visualize_request(**fields), CALL)
        ]
        result: pb.VisualizeResult = events[-1].result
        return result

    async def layer(
        self, layer: str, *, first: int = 0, count: int = 0, sheet: bool = False, **settings: Any
    ) -> list[Any]:
        """All that VisualizeLayer says."""
        request = pb.VisualizeLayerRequest(
            model=NAME,
            settings=pb.PictureSettings(**settings),
            layer=layer,
            first_unit=first,
            unit_count=count,
            sheet=sheet,
        )
        return [event async for event in self.handlers.VisualizeLayer(request, CALL)]


async def on_model_change(name: str) -> None:
    """Nobody is told."""


@asynccontextmanager
async def studio(
    state: Path, uris: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[Studio]:
    """A studio over the embedded digits network, closed in the end."""
    with running(**options) as engine, ThreadPoolExecutor(2) as pool:
        zoo = ModelZoo(None, {}, engine.run)
        await asyncio.to_thread(zoo.load, NAME)
        operations = Operations(
            OperationStore(state / "operations.sqlite"), lambda error: status_of(error, "")
        )
        datasets = Datasets(uris or {}, state / "datasets")
        index = IndexStore(state, may_name=datasets.may_name)
        given = Resources(
            zoo,
            Compute(engine, pool),
            datasets,
            index,
            operations,
            state,
            MOST_BYTES,
            on_model_change,
            Quarantine(state / "quarantine"),
            DiskSpace(state, 0),
        )
        methods = [method for make in TABLE.values() for method in make(given).items()]
        handlers = SimpleNamespace(**dict(methods))
        yield Studio(handlers, engine, zoo.get(NAME), index, datasets, state, operations, zoo)
        await operations.drain(LONG)
        await operations.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario to its end, which must come."""
    asyncio.run(asyncio.wait_for(scenario(), LONG))
