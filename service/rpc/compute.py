"""Where handlers have their work done: the engine's thread for the device, a thread beside it for
private copies of networks, a pool for images.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from google.protobuf.message import Message
from torch import Tensor

from interp.probe import Procedure
from service.auth.identity import current
from service.auth.quota import QuotaExceeded
from service.auth.usage import Meter, require
from service.engine.engine import Engine
from service.engine.job import Least, OnProgress, Priority, QueueFull
from service.engine.submit import solve_when_free
from service.imaging import Preprocessing
from service.imaging.decoding import LARGE, DecodeLimits, FairPool, Piece, PixelBudget
from service.models.zoo import HostedModel
from service.process.tracing import step
from service.rpc.context import Context, present_share, present_turn
from service.rpc.decoding import Decoding
from service.rpc.wire import images as wire_images
from service.rpc.wire.pixel_counts import image_batches
from service.threads import in_context
from striate.v1 import types_pb2

LIGHT = 2**18  # bytes that are copied on the event loop, in microseconds

P = ParamSpec("P")
T = TypeVar("T")


class Compute:
    """The ways from the event loop to the threads that compute.

    Args:
        engine: answers procedures, and owns the device.
        executor: threads that decode and encode images and read files.
        beside: one thread, which runs passes on replicas of networks while the engine goes on.
        limits: how many pixels are decoded.
        workers: threads of the executor, at least 2.
        meter: of what callers use.

    Attributes:
        engine: as given.
        beside: as given.
        pool: the executor's threads, shared fairly by all calls.
        budget: of the pixels that are being decoded.
        meter: as given.
    """

    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        beside: Executor | None = None,
        limits: DecodeLimits | None = None,
        workers: int = 2,
        meter: Meter | None = None,
    ) -> None:
        self.engine = engine
        self.meter = meter or Meter()
        self.pool = FairPool(executor, workers)
        self.budget = PixelBudget(limits or DecodeLimits(), self.pool)
        self.beside = beside or ThreadPoolExecutor(1, "beside-device")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run_in_pool(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in a thread of the pool, when it is this call's turn, before any of its images
        that are still to be decoded.

        Args:
            call: what is run, with the arguments that follow; it sees the caller's context
                variables, such as the request's id.

        Returns:
            What the call returns; an error that it raises is raised here.
        """
        piece = Piece(partial(call, *args, **kwargs))
        (result,) = await self.pool.run(self._caller, [piece], ahead=True)
        return result

    async def run_long_in_pool(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that may take long, such as the encoding of many pictures: as `run_in_pool`,
        but one thread is left to what is short.

        Args:
            call: what is run, with the arguments that follow; between two steps it should ask
                `service.imaging.decoding.check_wanted`.

        Returns:
            What the call returns; an error that it raises is raised here.
        """
        piece = Piece(partial(call, *args, **kwargs), LARGE + 1)
        (result,) = await self.pool.run(self._caller, [piece], ahead=True)
        return result

    async def encode(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that makes an answer, in the pool as `run_long_in_pool` does.

        Args:
            call: what is run, with the arguments that follow.

        Returns:
            What the call returns; an error that it raises is raised here.
        """
        with step("encode"):
            return await self.run_long_in_pool(call, *args, **kwargs)

    @property
    def _caller(self) -> object:
        return present_turn(self)

    async def run_on_device(self, call: Callable[[], T]) -> T:
        """Run a call on the engine's thread between two ticks.

        Args:
            call: what is run, without arguments.

        Returns:
            What the call returns; an error that it raises is raised here.
        """
        with step("device call"):
            return await asyncio.wrap_future(self.engine.run(in_context(call), present_share()))

    async def run_beside_device(self, call: Callable[[], T]) -> T:
        """Run a call beside the engine's thread: for passes on a replica of a network
        (`Network.replica`), which would hold up all others. Shares take turns, and each is charged
        with the time that its calls take.

        Args:
            call: what is run, without arguments.

        Returns:
            What the call returns; an error that it raises is raised here.
        """
        share = present_share()

        def charged() -> T:
            started = time.monotonic()
            try:
                return call()
            finally:
                self.engine.charge(share, time.monotonic() - started)

        # Of each share one call at a time is handed to the thread, which takes them as they come.
        async with self._turns.setdefault(share.key, asyncio.Lock()):
            with step("beside the device"):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self.beside, in_context(charged))

    def decoding(
        self,
        batch: types_pb2.ImageBatch,
        preprocessing: Preprocessing,
        field: str = "images",
        patient: bool = False,
    ) -> Decoding:
        """Have images admitted, to be read part by part.

        Args:
            batch: images of a request.
            preprocessing: how the model takes images.
            field: the request's field, for errors.
            patient: wait for room, rather than be refused.

        Returns:
            A context, see there.
        """
        return Decoding(self.pool, self.budget, batch, preprocessing, field, patient)

    @contextlib.asynccontextmanager
    async def admitting(
        self, request: Message, preprocessing: Preprocessing
    ) -> AsyncIterator[None]:
        """Have all images of a request admitted, wherever it holds them, while they are decoded.

        Args:
            request: of any kind.
            preprocessing: how the model takes images.

        Raises:
            InvalidField, InvalidImage: there are too many images, or they have too many pixels.
            PoolBusy: so many are being decoded that these have to come back later.
        """
        async with contextlib.AsyncExitStack() as admitted:
            for field, batch in image_batches(request):
                await admitted.enter_async_context(self.decoding(batch, preprocessing, field))
            yield

    async def decode_images(
        self,
        batch: types_pb2.ImageBatch,
        preprocessing: Preprocessing,
        field: str = "images",
        patient: bool = False,
    ) -> Tensor:
        """Decode a batch of images: in the pool, unless all there is to do is to copy a few floats,
        for which a thread's hop would take longer.

        Args:
            batch: images of a request.
            preprocessing: how the model takes images.
            field: the request's field, for errors.
            patient: wait for room, rather than be refused.

        Returns:
            (N, C, H, W) float32 in [0, 1].

        Raises:
            InvalidField: the batch is empty, too large, or of a wrong kind, shape or range.
            BadImage: an encoded image cannot be decoded, or they have too many pixels.
            PoolBusy: so many are being decoded that these have to come back later.
        """
        if not batch.encoded and batch.tensor.dtype == types_pb2.DATA_TYPE_FLOAT32:
            with step("decode"):
                if len(batch.tensor.data) < LIGHT:
                    return wire_images.decode_batch(batch, preprocessing, field)
                return await self.run_in_pool(wire_images.decode_batch, batch, preprocessing, field)
        async with self.decoding(batch, preprocessing, field, patient) as images:
            return await images.read()

    def submit(
        self,
        model: HostedModel,
        procedure: Procedure[T],
        memory: int,
        priority: Priority,
        *,
        deadline: float | None = None,
        deterministic: bool = False,
        on_progress: OnProgress | None = None,
        gradients: bool = True,
        least: Least | None = None,
    ) -> "Future[T]":
        """Hand a procedure to the engine for the present caller.

        Args:
            memory: bytes that the procedure holds between ticks.
            deadline: on the monotonic clock; None for no deadline.
            deterministic: passes are padded chunks, so that bytes do not depend on the company.
            on_progress: told of every step, on the engine's thread.
            gradients: whether it takes any.
            least: what it asks for at the least, if that is known.

        Returns:
            The future of the procedure's result.

        Raises:
            QueueFull: the engine has as many jobs waiting as it takes.
            QuotaExceeded: the caller has as many, or has had as many gradients of late, as they
                may.
        """
        by, share = current.get(), present_share()
        if gradients:
            self.meter.require_gradients(by)
        if by.quota.waiting_jobs is not None:
            require(by, "waiting_jobs", self.engine.waiting_of(share))
        return self.engine.submit(
            model,
            procedure,
            memory=memory,
            priority=priority,
            deadline=deadline,
            deterministic=deterministic,
            on_progress=on_progress,
            share=share,
            least=least,
        )

    def submit_patiently(
        self,
        model: HostedModel,
        procedure: Procedure[T],
        memory: int,
        priority: Priority = Priority.BATCH,
        *,
        deadline: float | None = None,
        deterministic: bool = False,
        gradients: bool = True,
    ) -> "Future[T]":
        """Hand work to the engine that is tried again while it is refused: see
        `service.engine.submit`. Arguments are those of `submit`.

        Returns:
            The future of the procedure's result.

        Raises:
            QueueFull: the engine, or the caller, has as many jobs waiting as may be, or the caller
                has had as many gradients of late as they may.
        """
        try:
            return self.submit(
                model,
                procedure,
                memory,
                priority,
                deadline=deadline,
                deterministic=deterministic,
                gradients=gradients,
            )
        except QuotaExceeded as full:
            raise QueueFull(self.engine.waiting_of(present_share()), full.retry_after) from full

    async def solve(
        self,
        context: Context,
        model: HostedModel,
        procedure: Procedure[T],
        memory: int,
        priority: Priority,
        deterministic: bool = False,
        on_progress: OnProgress | None = None,
        gradients: bool = True,
        least: Least | None = None,
    ) -> T:
        """Have the engine answer a procedure for one call: it is cancelled with the call, and
        expires with the call's deadline.

        Args:
            memory: bytes that the procedure holds between ticks.
            deterministic: passes are padded chunks, so that bytes do not depend on the company.
            on_progress: told of every step, on the engine's thread.
            gradients: whether the procedure takes any.
            least: what it asks for at the least, if that is known.

        Returns:
            The procedure's result.

        Raises:
            QueueFull: the engine has as many jobs waiting as it takes.
            QuotaExceeded: the caller has as many, or has had as many gradients of late, as they
                may.
        """
        future = self.submit(
            model,
            procedure,
            memory,
            priority,
            deadline=deadline_of(context),
            deterministic=deterministic,
            on_progress=on_progress,
            gradients=gradients,
            least=least,
        )
        return await asyncio.wrap_future(future)

    async def solve_patiently(
        self,
        model: HostedModel,
        procedure: Procedure[T],
        memory: int,
        priority: Priority,
        deterministic: bool = False,
        deadline: float | None = None,
    ) -> T:
        """Have the engine answer a procedure, however long its queue is: for work that gives way to
        those who cannot wait.

        Args:
            memory: bytes that the procedure holds between ticks.
            deadline: on the monotonic clock; None for no deadline.
        """

        async def solve() -> T:
            future = self.submit_patiently(
                model,
                procedure,
                memory,
                priority,
                deadline=deadline,
                deterministic=deterministic,
            )
            return await asyncio.wrap_future(future)

        return await solve_when_free(solve)


def deadline_of(context: Context) -> float | None:
    """Find when a call expires.

    Args:
        context: of the call.

    Returns:
        Seconds on the monotonic clock; None if the call may take any time.
    """
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining
