"""What all handlers lean on: the parts of the server, and the ways from the event loop to its
threads.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from torch import Tensor

from interp.probe import Procedure
from service.datasets import Datasets
from service.engine.engine import Engine
from service.engine.job import OnProgress, Priority
from service.imaging import Preprocessing
from service.index.store import IndexStore
from service.models.zoo import HostedModel, ModelZoo
from service.operations import Operations
from service.rpc.interceptor import Context
from service.rpc.validation import required
from service.rpc.wire import images as wire_images
from service.visualization.cache import MOST_BYTES
from striate.v1 import interpret_pb2_grpc, types_pb2

LIGHT = 2**18  # bytes that are copied on the event loop, in microseconds

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class House:
    """The parts that handlers use. `pool` decodes and encodes images, which must not hold up the
    event loop; pictures of whole layers take up to `picture_cache_bytes` of disk.
    """

    zoo: ModelZoo
    engine: Engine
    datasets: Datasets
    pool: Executor
    picture_cache_bytes: int = MOST_BYTES

    @contextmanager
    def model(self, name: str) -> Iterator[HostedModel]:
        """The loaded model of a request, which cannot be unloaded meanwhile. Raises InvalidField,
        UnknownModel.
        """
        with self.zoo.use(required("model", name)) as model:
            yield model

    async def aside(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the pool."""
        return await asyncio.get_running_loop().run_in_executor(
            self.pool, partial(call, *args, **kwargs)
        )

    async def images(
        self, batch: types_pb2.ImageBatch, preprocessing: Preprocessing, first: int = 0
    ) -> Tensor:
        """Decode a batch in the pool, unless all there is to do is to copy a few floats: a
        thread's hop would take longer.
        """
        if (
            not batch.encoded
            and batch.tensor.dtype == types_pb2.DATA_TYPE_FLOAT32
            and len(batch.tensor.data) < LIGHT
        ):
            return wire_images.decode_batch(batch, preprocessing)
        return await self.aside(wire_images.decode_batch, batch, preprocessing, first)

    async def on_device(self, call: Callable[[], T]) -> T:
        """Run a call on the engine's thread, between two ticks."""
        return await asyncio.wrap_future(self.engine.run(call))

    async def solve(
        self,
        context: Context,
        model: HostedModel,
        procedure: Procedure[T],
        memory: int,
        priority: Priority,
        deterministic: bool = False,
        on_progress: OnProgress | None = None,
    ) -> T:
        """The result of a procedure that holds `memory` bytes between ticks.

        It is cancelled with the call, and expires with the call's deadline.
        """
        remaining = context.time_remaining()
        future = self.engine.submit(
            model,
            procedure,
            memory=memory,
            priority=priority,
            deadline=None if remaining is None else time.monotonic() + remaining,
            deterministic=deterministic,
            on_progress=on_progress,
        )
        return await asyncio.wrap_future(future)


class Interpreter(interpret_pb2_grpc.InterpretServiceServicer):
    """What the handlers of InterpretService, each in a file of its own, have in common.

    Args:
        state: folder in which the server keeps what should outlive it.
    """

    def __init__(
        self, house: House, index: IndexStore, operations: Operations, state: Path
    ) -> None:
        self._house, self._index, self._operations, self._state = house, index, operations, state
